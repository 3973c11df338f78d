"""The table of ``darklane watch``: what a subscriber of the feed knows, without sockets or a terminal."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from rich.console import Group
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from edge.client import Gap, Item, Silence
from edge.lane_view import COLOURS
from edge.messages import BagNotice, LaneState, Verdict

ROWS = 20
_STATE_STYLE = {"READY": "green", "SCANNING": "green", "STARTING": "yellow", "DEGRADED": "yellow", "FAULT": "bold red"}


@dataclass
class _Row:
    tag: str = ""
    deadline_ns: int = 0
    verdict: Verdict | None = None
    supplement: Verdict | None = None


class Board:
    """Takes feed messages, draws the newest bags and the lane state."""

    def __init__(self, lane: str) -> None:
        self.lane = lane
        self.finals = 0
        self._state: LaneState | None = None
        self._heard_s = 0.0
        self._silent = False
        self._missing: Gap | None = None
        self._rows: OrderedDict[str, _Row] = OrderedDict()

    def take(self, message: Item, mono_s: float) -> None:
        """Take one item at monotonic time ``mono_s``; repeats of a verdict count once."""
        if isinstance(message, LaneState):
            self._state, self._heard_s, self._silent = message, mono_s, False
        elif isinstance(message, Silence):
            self._heard_s, self._silent = mono_s - message.seconds, True
        elif isinstance(message, Gap):
            self._missing = message
        elif isinstance(message, BagNotice):
            row = self._row(message.bag_id)
            row.tag, row.deadline_ns = message.bag_tag, message.deadline_ns
        elif isinstance(message, Verdict):
            row = self._row(message.bag_id)
            row.tag = message.bag_tag
            if not message.final:
                row.supplement = message
            elif row.verdict is None:
                row.verdict = message
                self.finals += 1

    def render(self, wall_ns: int, mono_s: float) -> Group:
        """Lane state above the bags, newest below."""
        table = Table(expand=True)
        for heading in ("bag", "tag", "verdict", "reason", "score", "objects", "lost", "after last frame"):
            table.add_column(heading)
        for bag_id, row in list(self._rows.items())[-ROWS:]:
            table.add_row(escape(bag_id), escape(row.tag), *_cells(row, wall_ns))
        return Group(self._headline(mono_s), table)

    def _row(self, bag_id: str) -> _Row:
        row = self._rows.setdefault(bag_id, _Row())
        while len(self._rows) > ROWS * 2:
            self._rows.popitem(last=False)
        return row

    def _headline(self, mono_s: float) -> Text:
        if self._state is None:
            return Text(f"{self.lane}: waiting for the feed; is the lane running?", style="yellow")
        if self._silent:
            silence_s = mono_s - self._heard_s
            return Text(f"{self.lane}: SILENT for {silence_s:.0f} s; treat every bag as UNKNOWN", style="bold red")
        state = self._state
        line = Text.assemble(f"{self.lane}: ", (state.state, _STATE_STYLE[state.state]))
        line.append(f"  calibration {state.calibration_state} {state.calibration_id}")
        line.append(f"  bags in the lane {state.bags_in_flight}  verdicts {state.verdicts}")
        if state.dropped:
            line.append(f"  dropped {state.dropped}", style="yellow")
        if state.detail:
            line.append(f"\n{state.detail}")
        if self._missing is not None:
            gap = self._missing
            line.append(f"\nverdicts {gap.first} to {gap.last} were missed: {gap.reason}", style="bold red")
        return line


def _cells(row: _Row, wall_ns: int) -> tuple[str, ...]:
    verdict = row.verdict
    if verdict is None:
        left_s = (row.deadline_ns - wall_ns) / 1e9
        waiting = f"[dim]at most {max(left_s, 0):.0f} s more[/]" if row.deadline_ns else "[dim]waiting[/]"
        return waiting, "", "", "", "", ""
    late = f" [dim](later: {row.supplement.decision.value})[/]" if row.supplement else ""
    return (
        f"[{COLOURS[verdict.decision]}]{verdict.decision.value}[/]{late}",
        verdict.reason.value if verdict.reason else "",
        f"{verdict.score:.2f} / {verdict.threshold:.2f}",
        ", ".join(item.category for item in verdict.objects[:4]),
        str(verdict.lost_frames),
        "" if verdict.latency_ms is None else f"{verdict.latency_ms / 1e3:.2f} s",
    )
