"""``darklane bench``: how fast and how steady the lane is on this machine; figures for docs/performance.md."""

from __future__ import annotations

import json
import os
import statistics
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from edge.commands import options
from edge.commands.bench_feed import feed
from edge.commands.bench_gpu import gpu
from edge.commands.bench_inference import inference
from edge.commands.bench_kernels import kernels
from edge.commands.bench_readout import readout
from edge.commands.options import ConfigOption, configuration, fail
from edge.emulated import EmulatorError
from edge.lane import Lane, LaneError
from edge.lane_view import verdict_line

app = typer.Typer(no_args_is_help=True, help="Measure this machine; nothing is compared with wall-clock limits.")
app.command("feed")(feed)
app.command("kernels")(kernels)
app.command("gpu")(gpu)
app.command("readout")(readout)
app.command("inference")(inference)

#: Kinds of the benchmark's bags, repeated; seeds start where neither the demo nor the training looks.
KINDS = ("bag", "phone", "bag", "laptop", "bag", "hair_dryer")
FIRST_SEED = 700_000


def rss_mib(pid: int) -> float:
    """Resident memory of one process, MiB; 0 when it is gone."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    except (OSError, IndexError, ValueError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


@app.command("lane")
def lane(
    config: ConfigOption = None,
    state_dir: Annotated[Path, typer.Option("--state-dir")] = Path("lane-run/bench"),
    bags: Annotated[int, typer.Option("--bags", min=1, max=1000)] = 30,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures to this file.")] = None,
) -> None:
    """Scan simulated bags on the emulated scanner; report memory per service and last frame to verdict."""
    console = options.console()
    settings = configuration(config, state_dir)
    state_dir.mkdir(parents=True, exist_ok=True)
    items = [{"kind": KINDS[i % len(KINDS)], "seed": FIRST_SEED + i, "tag": f"BENCH-{i:03d}"} for i in range(bags)]
    plan = state_dir / "plan.json"
    plan.write_text(json.dumps({"items": items}), encoding="utf-8")
    latencies: list[float] = []
    lost = 0
    memory: dict[str, list[float]] = {}
    cpu_from, wall_from = os.times(), time.monotonic()
    load: list[float] = []
    try:
        with Lane(settings, emulate=True, plan=str(plan), say=console.print) as running:
            while not running.finished:
                for verdict in running.step():
                    console.print(verdict_line(verdict), highlight=False, soft_wrap=True)
                    lost += verdict.lost_frames
                    if verdict.final and verdict.latency_ms is not None:
                        latencies.append(verdict.latency_ms)
                    assert running.supervisor is not None
                    load.append(os.getloadavg()[0])
                    for name, child in running.supervisor.children.items():
                        if child.process is not None:
                            memory.setdefault(name, []).append(rss_mib(child.process.pid))
    except (LaneError, EmulatorError, RuntimeError, ValueError) as error:
        fail(str(error), 1)
    cpu_to = os.times()
    used = (cpu_to.children_user + cpu_to.children_system) - (cpu_from.children_user + cpu_from.children_system)
    figures: dict[str, Any] = {
        "bags": bags,
        "verdicts": len(latencies),
        "lost_frames": lost,
        "latency_ms": {"median": statistics.median(latencies), "max": max(latencies)} if latencies else {},
        "memory_mib": {n: {"after_3": m[min(2, len(m) - 1)], "last": m[-1], "max": max(m)} for n, m in memory.items()},
        "load_average": {"median": statistics.median(load), "max": max(load)} if load else {},
        "cores": os.cpu_count(),
        "core_seconds_per_second": used / (time.monotonic() - wall_from),
    }
    _report(figures, console)
    if json_file is not None:
        json_file.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def _report(figures: dict[str, Any], console: Console) -> None:
    table = Table(title=f"Memory over {figures['bags']} simulated bags, MiB resident")
    for heading in ("service", "after 3 bags", "after the last", "largest"):
        table.add_column(heading, justify="left" if heading == "service" else "right")
    for name, mib in figures["memory_mib"].items():
        table.add_row(name, f"{mib['after_3']:.0f}", f"{mib['last']:.0f}", f"{mib['max']:.0f}")
    console.print(table)
    latency = figures["latency_ms"]
    if latency:
        console.print(f"last frame to verdict: median {latency['median']:.0f} ms, max {latency['max']:.0f} ms")
    console.print(
        f"lost frames {figures['lost_frames']}; {figures['core_seconds_per_second']:.2f} of {figures['cores']} cores "
        "busy (emulated scanner included)"
    )
