"""``darklane bench readout``: the detector's receiver at the highest rate that a 1 GbE link carries."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from edge.commands import options
from edge.commands.options import error_console, fail

MTUS = (1500, 9000)
RECEIVERS = ("darklane", "plain")


def readout(
    seconds: Annotated[float, typer.Option("--seconds", min=1, help="Length of each of the runs.")] = 20.0,
    rows: Annotated[int, typer.Option("--rows", min=16, max=4096)] = 2048,
    mtu: Annotated[list[int] | None, typer.Option("--mtu", help="Packet size; may be given again.")] = None,
    receiver: Annotated[
        list[str] | None, typer.Option("--receiver", help="darklane or plain; may be given again.")
    ] = None,
    priority: Annotated[int, typer.Option("--priority", min=0, max=99, help="FIFO; 0: normal.")] = 20,
    buffer_mib: Annotated[int, typer.Option("--buffer-mib", min=1, max=1024)] = 64,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures to this file.")] = None,
) -> None:
    """Frames sent, received and lost, and processor shares, on loopback: one run for each packet size and receiver.

    A process sends real packets of simulated frames, paced as a full 1 GbE link would; readout's receiver takes them,
    and in a run of its own a plain recv_into loop. Exit code 1 when readout's receiver lost a frame.
    """
    wanted = receiver or list(RECEIVERS)
    if unknown := [name for name in wanted if name not in RECEIVERS]:
        fail(f"--receiver {unknown[0]}: there are {', '.join(RECEIVERS)}")
    if wrong := [size for size in mtu or () if not 576 <= size <= 9200]:
        fail(f"--mtu {wrong[0]}: give 576 to 9200")
    runs = []
    for size in mtu or MTUS:
        for name in wanted:
            error_console.print(f"[dim]MTU {size}, {name}, {seconds:g} s[/]", highlight=False)
            runs.append(_in_a_process(size, name, seconds, rows, priority, buffer_mib))
    figures = {"rows": rows, "cores": os.cpu_count(), "load_average": os.getloadavg()[0], "runs": runs}
    _report(figures, options.console())
    if json_file is not None:
        json_file.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    if any(run["lost_frames"] for run in runs if run["receiver"] == "darklane"):
        raise typer.Exit(1)


def _in_a_process(mtu: int, name: str, seconds: float, rows: int, priority: int, buffer_mib: int) -> dict[str, Any]:
    """One run in a fresh process, so that none inherits threads, priority or memory of another."""
    command = [sys.executable, "-m", "edge.bench.readout", "--mtu", str(mtu), "--receiver", name]
    command += ["--seconds", str(seconds), "--rows", str(rows), "--priority", str(priority)]
    command += ["--buffer-mib", str(buffer_mib)]
    ran = subprocess.run(command, check=False, stdout=subprocess.PIPE)
    if ran.returncode != 0:
        fail(f"the run of {name} at MTU {mtu} failed (exit code {ran.returncode}); see above", 2)
    figures: dict[str, Any] = json.loads(ran.stdout)
    return figures


def _report(figures: dict[str, Any], console: Console) -> None:
    table = Table(title=f"Detector stream on loopback, {figures['rows']} rows, paced as a full 1 GbE link")
    for heading in ("MTU", "receiver", "frames/s", "of 1 GbE", "sent", "received", "lost", "kernel drops"):
        table.add_column(heading, justify="left" if heading == "receiver" else "right")
    for heading in ("receiver CPU", "packet thread", "sender CPU", "FIFO"):
        table.add_column(heading, justify="right")
    for run in figures["runs"]:
        table.add_row(
            str(run["mtu"]),
            run["receiver"],
            f"{run['sent_hz']:.1f}",
            f"{100 * run['sent_hz'] / run['line_hz']:.1f} %",
            str(run["sent_frames"]),
            str(run["received_frames"]),
            str(run["lost_frames"]),
            str(run["kernel_drops"]),
            f"{100 * run['receiver_cpu']:.1f} %",
            f"{100 * run['packet_thread_cpu']:.1f} %",
            f"{100 * run['sender_cpu']:.1f} %",
            "yes" if run["fifo"] else "no",
        )
    console.print(table)
    console.print("CPU: share of one core while frames were sent; frames are simulated", highlight=False)
