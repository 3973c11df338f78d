"""What a person sees while the lane runs: one line per service, and one per verdict."""

from __future__ import annotations

import time

from rich.console import Console
from rich.live import Live
from rich.table import Table

from edge.lane import Lane
from edge.messages import Decision, Verdict

COLOURS = {Decision.ALARM: "bold red", Decision.CLEAR: "green", Decision.UNKNOWN: "yellow"}
#: Without a terminal, a status line this often.
PLAIN_PERIOD_S = 5.0


def verdict_line(verdict: Verdict) -> str:
    """One line about one verdict, with rich markup."""
    colour = COLOURS[verdict.decision]
    reason = f" ({verdict.reason.value})" if verdict.reason else ""
    threats = [o for o in verdict.objects if o.category == "explosive"]
    what = ""
    if threats and threats[0].candidates:
        best = threats[0].candidates[0]
        what = f"  {len(threats)} object(s), first {best.material} {best.probability:.0%}"
    latency = f"  {verdict.latency_ms / 1e3:.2f} s after its last frame" if verdict.latency_ms is not None else ""
    late = "" if verdict.final else "  [supplement]"
    return (
        f"[{colour}]{verdict.decision.value:8}[/]{reason} {verdict.bag_id}  score {verdict.score:.2f}"
        f"  frames {verdict.frames} lost {verdict.lost_frames}{what}{latency}{late}"
    )


def service_table(lane: Lane) -> Table:
    """Rate, queue and lag of each service."""
    table = Table(box=None, pad_edge=False)
    for heading in ("service", "state", "rate", "queue", "lag", "restarts", ""):
        table.add_column(heading, justify="right" if heading in ("rate", "queue", "lag", "restarts") else "left")
    assert lane.supervisor is not None
    for name, child in lane.supervisor.children.items():
        status = child.status
        if child.process is None:
            table.add_row(name, "[red]down[/]", "", "", "", str(child.restarts), "waiting to be restarted")
        elif status is None:
            table.add_row(name, "starting", "", "", "", str(child.restarts), "")
        else:
            rate = f"{status.rate_hz:.1f} {status.unit}/s"
            stale = time.monotonic() - child.heard > child.service.watchdog_s
            state = "[yellow]silent[/]" if stale else status.state
            row = (
                name,
                state,
                rate,
                str(status.queue),
                f"{status.lag_ms:.0f} ms",
                str(child.restarts),
                status.detail,
            )
            table.add_row(*row)
    return table


def _plain_status(lane: Lane) -> str:
    assert lane.supervisor is not None
    parts = []
    for name, child in lane.supervisor.children.items():
        status = child.status
        parts.append(f"{name} {status.rate_hz:.0f} {status.unit}/s q{status.queue}" if status else f"{name} -")
    return f"[dim]{' | '.join(parts)}[/]"


def follow(lane: Lane, console: Console, expected_bags: int | None = None) -> None:
    """Show the lane until it has finished (emulated) or Ctrl-C is pressed."""
    done = 0

    def show(verdicts: list[Verdict]) -> None:
        nonlocal done
        for verdict in verdicts:
            done += verdict.final
            of = f"/{expected_bags}" if expected_bags else ""
            console.print(f"bag {done}{of}  {verdict_line(verdict)}", highlight=False, soft_wrap=True)

    if console.is_terminal:
        with Live(console=console, refresh_per_second=4, transient=True) as live:
            while not lane.finished:
                show(lane.step())
                live.update(service_table(lane))
        return
    last = time.monotonic()
    while not lane.finished:
        show(lane.step())
        if time.monotonic() - last >= PLAIN_PERIOD_S:
            last = time.monotonic()
            console.print(_plain_status(lane), highlight=False, soft_wrap=True)
