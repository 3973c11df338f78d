"""Assessments of bags that nobody has seen enter: the event may only be late."""

from __future__ import annotations

from collections import OrderedDict

from edge.messages import Assessment
from edge.verdict.actions import Now

#: An assessment of a bag that never entered waits this long for the entry event (asked for once a second).
ORPHAN_NS = 3_000_000_000
MAX_ORPHANS = 64


class Orphans:
    """They wait for their bag, but neither for ever nor without bound."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, tuple[Assessment, int]] = OrderedDict()

    def add(self, found: Assessment, now: Now) -> list[Assessment]:
        """Keep one; returns those for which there is no room any more."""
        self._waiting[found.bag_id] = (found, now.mono + ORPHAN_NS)
        surplus = max(0, len(self._waiting) - MAX_ORPHANS)
        return [self._waiting.popitem(last=False)[1][0] for _ in range(surplus)]

    def pop(self, bag_id: str) -> Assessment | None:
        """The assessment that waits for this bag, which has entered now."""
        found, _ = self._waiting.pop(bag_id, (None, 0))
        return found

    def due(self, now: Now) -> list[Assessment]:
        """Those that have waited long enough; they are forgotten."""
        due = [bag_id for bag_id, (_, until) in self._waiting.items() if now.mono >= until]
        return [self._waiting.pop(bag_id)[0] for bag_id in due]
