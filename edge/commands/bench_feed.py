"""``darklane bench feed``: the feed beside bare pyzmq, and what hostile subscribers cost the others."""

from __future__ import annotations

import json
import os
import statistics
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from edge.bench import feed as bench
from edge.bench import feed_crowd
from edge.commands import options

KINDS = ("bare", "feed")


def feed(
    messages: Annotated[int, typer.Option("--messages", min=100, help="Of each throughput run.")] = 20_000,
    seconds: Annotated[float, typer.Option("--seconds", min=1, help="Of each latency run.")] = 5.0,
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="Everything takes turns so often.")] = 3,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures to this file.")] = None,
) -> None:
    """Messages a second and latency over TCP on loopback with the same payload; what is compared takes turns.

    The feed's socket beside a bare one, plain and with CURVE; then one subscriber of the gateway service alone, beside
    39 others, and with 5 more that never read and 5 strangers that send garbage. The others have a core of their own.
    """
    number = max(10, round(seconds * bench.RATE_HZ))
    figures: dict[str, Any] = {"cores": os.cpu_count(), "load_average": os.getloadavg()[0]}
    for curve in (False, True):
        figures["curve" if curve else "plain"] = {
            "sockets": _sockets(curve, messages, number, rounds),
            "gateway": feed_crowd.hostile(curve, number, rounds),
        }
    figures["load_average_after"] = os.getloadavg()[0]
    _report(figures, options.console())
    if json_file is not None:
        json_file.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def _sockets(curve: bool, messages: int, number: int, rounds: int) -> dict[str, Any]:
    rates: dict[str, list[float]] = {kind: [] for kind in KINDS}
    ages: dict[str, list[dict[str, float]]] = {kind: [] for kind in KINDS}
    with TemporaryDirectory(prefix="dlb") as folder:
        keys = Path(folder) / "keys" if curve else None
        if keys is not None:
            bench.make_keys(keys)
        for _ in range(rounds):
            for kind in KINDS:
                rates[kind].append(bench.throughput(kind, keys, messages))
                ages[kind].append(bench.latency(kind, keys, number))
    return {
        kind: {
            "messages_per_s": statistics.median(rates[kind]),
            **{name: statistics.median(one[name] for one in ages[kind]) for name in ("median_ms", "p99_ms")},
        }
        for kind in KINDS
    }


def _report(figures: dict[str, Any], console: Console) -> None:
    table = Table(title="One publisher, one subscriber, TCP on loopback")
    for heading in ("", "socket", "messages/s", "beside bare", "latency median", "99 %"):
        table.add_column(heading, justify="right" if heading not in ("", "socket") else "left")
    crowd = Table(title="Through the gateway service: latency of one subscriber")
    for heading in ("", "since", "beside it", "median", "99 %", "median beside alone", "95 % interval"):
        crowd.add_column(heading, justify="right" if heading not in ("", "since", "beside it") else "left")
    for security in ("plain", "curve"):
        rows = figures[security]["sockets"]
        for kind in KINDS:
            row, ratio = rows[kind], rows[kind]["messages_per_s"] / rows["bare"]["messages_per_s"]
            table.add_row(
                security,
                kind,
                f"{row['messages_per_s']:.0f}",
                f"{ratio:.2f}",
                f"{row['median_ms']:.2f} ms",
                f"{row['p99_ms']:.2f} ms",
            )
        found = figures[security]["gateway"]
        for since in ("decided", "published"):
            for name, by in found.items():
                row = by[since]
                crowd.add_row(
                    security,
                    since,
                    name,
                    f"{row['median_ms']:.2f} ms",
                    f"{row['p99_ms']:.2f} ms",
                    f"{row['ratio']:.2f}",
                    f"{row['ratio_from']:.2f} to {row['ratio_to']:.2f}",
                )
    console.print(table)
    console.print(crowd)
    load = f"{figures['load_average']:.1f} before, {figures['load_average_after']:.1f} after"
    console.print(f"load average {load}, {figures['cores']} cores", highlight=False)
