"""``darklane bench gpu``: the GPU back end beside the host back end of the same machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from edge.commands.options import console, error_console, fail


def gpu(
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures to this file.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Less of everything; not for quoting.")] = False,
) -> None:
    """Speed of the kernels on this machine's GPU, alone and in whole calls, and agreement with the processor."""
    from kernels.bench.gpu.device import NoGpuError  # noqa: PLC0415 - other commands need none of it
    from kernels.bench.gpu.extent import FULL, SHORT  # noqa: PLC0415
    from kernels.bench.gpu.run import run  # noqa: PLC0415

    try:
        figures = run(
            SHORT if quick else FULL, lambda what: error_console.print(f"[dim]measuring {what}[/]", highlight=False)
        )
    except NoGpuError as error:
        fail(str(error), 1)
    figures["quick"] = quick
    _report(figures, console())
    if json_file is not None:
        json_file.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def _table(title: str, *headings: str) -> Table:
    table = Table(title=title, title_justify="left")
    for i, heading in enumerate(headings):
        table.add_column(heading, justify="left" if i == 0 else "right")
    return table


def _millions(value: float) -> str:
    return f"{value / 1e6:,.1f} M"


def _largest(found: dict[str, Any]) -> str:
    return "—" if found["largest_sigma"] is None else f"{found['largest_sigma']:.1e}"


def _report(figures: dict[str, Any], console: Console) -> None:
    found, machine, ready = figures["gpu"], figures["machine"], figures["ready_seconds"]
    console.print(
        f"{found['name']}, {found['multiprocessors']} multiprocessors; {machine['processor']}, "
        f"{figures['host_threads']} threads; {figures['data']}; {figures['seconds']:.0f} s",
        highlight=False,
    )
    console.print(f"ready in {ready['cold']:.1f} s, {ready['warm']:.2f} s when compiled before", highlight=False)
    if figures["quick"]:
        console.print("[bold]quick run: too short and too small to be quoted[/]")
    table = _table(
        "Against the host, pixels and bins; largest difference in the host's σ",
        "counts", "model", "pixels", "flags differ", "no flag", "largest", "no fault", "largest", "above 0.01 σ",
    )  # fmt: skip
    for row in figures["agreement"]:
        table.add_row(
            f"{row['counts_at_peak']:.0e}",
            row["model"],
            f"{row['pixels']:,}",
            f"{row['flags_differ']:,}",
            f"{row['no_flag']['pixels']:,}",
            _largest(row["no_flag"]),
            f"{row['no_fault']['pixels']:,}",
            _largest(row["no_fault"]),
            f"{row['no_fault']['beyond_far']:,}",
        )
    console.print(table)
    table = _table("Retrieval, fits per second", "model", "pixels", "kernel alone", "whole call", "host, all threads")
    for row in figures["rates"]:
        speeds = (row[f"{what}_fits_per_second"] for what in ("kernel", "call", "host"))
        table.add_row(row["model"], f"{row['pixels']:,}", *map(_millions, speeds))
    console.print(table)
    for left_out in figures["rates_skipped"]:
        console.print(f"not measured: {left_out['pixels']:,} pixels, {left_out['reason']}", highlight=False)
    table = _table("One slab of the lane, `map`, whole calls", "", "rows × columns", "median", "99 %", "longest")
    for row in figures["slab_latency"]:
        times = (f"{row[f'{what}_ms']:.2f} ms" for what in ("median", "p99", "longest"))
        table.add_row(row["backend"], f"{row['rows']} × {row['columns']}", *times)
    console.print(table)
    sums = figures["phase_sums"]
    table = _table(
        f"Phase sums, {sums['rows']} rows; a copy in the GPU's memory reads "
        f"{sums['copy_bytes_per_second_each_way'] / 1e9:,.0f} GB/s",
        "frames per call", "kernel, µs a frame", "GB/s of frames", "of copying", "frames/s, calls", "host, one thread",
    )  # fmt: skip
    for row in sums["batches"]:
        table.add_row(
            str(row["frames_per_call"]),
            f"{row['kernel_us_per_frame']:.2f}",
            f"{row['kernel_bytes_per_second'] / 1e9:,.0f}",
            f"{row['of_copy']:.0%}",
            f"{row['call_frames_per_second']:,.0f}",
            f"{row['host_frames_per_second']:,.0f}",
        )
    console.print(table)
