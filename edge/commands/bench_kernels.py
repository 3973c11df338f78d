"""``darklane bench kernels``: the kernels against peers and against what the machine could do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from edge.commands.options import error_console


def kernels(
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures to this file.")] = None,
    plot_file: Annotated[
        Path | None,
        typer.Option("--plot", help="Write the plot to this file.", show_default="beside the JSON file, .png"),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Seconds instead of minutes; not for quoting.")] = False,
) -> None:
    """Fits per second of the host kernels and of other solvers on the same simulated samples; machine limits."""
    from kernels.bench.plot import plot  # noqa: PLC0415 - scipy is slow to import, and other commands need none of it
    from kernels.bench.run import run  # noqa: PLC0415

    console = Console()
    figures = run(quick, lambda what: error_console.print(f"[dim]measuring {what}[/]", highlight=False))
    _report(figures, console)
    if json_file is not None:
        json_file.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    target = plot_file or (json_file.with_suffix(".png") if json_file is not None else None)
    if target is None:
        console.print("no plot: give --plot FILE or --json FILE")
        return
    try:
        plot(figures, target)
    except ImportError:
        console.print("no plot: matplotlib is not installed (pip install 'darklane[bench]')", markup=False)
    else:
        console.print(f"plot: {target}", highlight=False, soft_wrap=True)


def _table(title: str, *headings: str) -> Table:
    table = Table(title=title, title_justify="left")
    for i, heading in enumerate(headings):
        table.add_column(heading, justify="left" if i == 0 else "right")
    return table


def _number(value: float | None) -> str:
    return "—" if value is None else f"{value:,.0f}"


def _share(value: float | None) -> str:
    return "—" if value is None else f"{100 * value:.1f} %"


def _report(figures: dict[str, Any], console: Console) -> None:
    machine, load = figures["machine"], figures["load_average"]
    console.print(
        f"{machine['processor']}, {machine['cores']} cores, {machine['instruction_sets'][0]}; {figures['data']}; "
        f"load average {load['before']:.1f} before, {load['after']:.1f} after {figures['seconds']:.0f} s",
        highlight=False,
    )
    if figures["quick"]:
        console.print("[bold]quick run: too short and too small to be quoted[/]")
    table = _table(
        "Retrieval: one fit is t, Δ, τ², o of one bin of one pixel",
        "solver", "fits/s per core", "fits/s all cores", "map is faster by", "exact root", "others' cores",
    )  # fmt: skip
    ratio = figures["ratios"]["darklane map"]
    for row in figures["retrieval"]:
        name = row["name"]
        table.add_row(
            name,
            _number(row["fits_per_second_per_core"]),
            _number(row["fits_per_second_all_cores"]),
            f"{ratio[name]:,.1f} ×" if name in ratio else "",
            _share(row["exact_root_found"]),
            f"{row['others_busy_cores']:.2f}",
        )
    console.print(table)
    for missing in figures["absent"]:
        console.print(f"absent: {missing['name']}, {missing['reason']}", highlight=False, markup=False)
    _limits(figures, console)
    scaling = figures["scaling"]
    for title, key, x, y in (
        ("Fits/s per core over pixels", "pixels", "pixels", "fits_per_second_per_core"),
        ("Fits/s over threads (wall time)", "threads", "threads", "fits_per_second"),
        ("Fits/s per core over counts at the peak", "counts", "counts_at_peak", "fits_per_second_per_core"),
    ):
        steps = list(dict.fromkeys(point[x] for point in scaling[key]))
        table = _table(title, "model", *(f"{step:,.0f}" for step in steps))
        for model in dict.fromkeys(point["model"] for point in scaling[key]):
            points = [p for p in scaling[key] if p["model"] == model]
            table.add_row(model, *(_number(p[y]) for p in points))
            if key == "threads":
                table.add_row("", *(f"{p['speed_up']:.2f} ×" for p in points))
        console.print(table)
    for left_out in scaling["pixels_skipped"]:
        console.print(f"not measured: {left_out['pixels']:,} pixels, {left_out['reason']}", highlight=False)


def _limits(figures: dict[str, Any], console: Console) -> None:
    sums = figures["phase_sums"]
    table = _table(
        f"Phase sums, {sums['rows']} rows; one core copies frames at {sums['copy_bytes_per_second'] / 1e9:.1f} GB/s",
        "frames per call", "frames/s per core", "GB/s of frames", "of copying", "others' cores",
    )  # fmt: skip
    for row in sums["batches"]:
        table.add_row(
            str(row["frames_per_call"]),
            _number(row["frames_per_second_per_core"]),
            f"{row['bytes_per_second'] / 1e9:.2f}",
            _share(row["of_copy_bandwidth"]),
            f"{row['others_busy_cores']:.2f}",
        )
    console.print(table)
    work = figures["arithmetic"]
    if "reason" in work:
        console.print(f"not measured: fraction of the arithmetic peak, {work['reason']}", markup=False)
        return
    table = _table(
        f"Arithmetic: peak of one core {work['peak_flop_per_second'] / 1e9:.0f} Gflop/s in fused multiply-adds",
        "model", "flop per fit", "divisions", "iterations", "Gflop/s", "of peak",
    )  # fmt: skip
    for row in work["models"]:
        table.add_row(
            row["model"],
            _number(row["flop_per_fit"]),
            _number(row["divisions_per_fit"]),
            f"{row['iterations_per_fit']:.1f}",
            f"{row['flop_per_second'] / 1e9:.1f}",
            _share(row["of_peak"]),
        )
    console.print(table)
