"""When a bag is asked for again: its phase sums are in the spool, but what was made of them died with a service.

Asked for is a bag of which a service says ServiceRestart; one that was open when the verdict service itself ended;
one that a younger bag has overtaken (the lane keeps order, so its own assessment is lost); and one of which nothing
has come although the whole lane has been quiet for a part of the deadline. Never before the bag has left the beam,
and never more often than MOST times: a service that dies of a bag must not be fed with it for ever.
"""

from __future__ import annotations

from collections.abc import Iterable

from edge.messages import Assessment, Fault
from edge.verdict.actions import Now, Recalled
from edge.verdict.bags import Bag
from edge.verdict.belt import BeltState
from edge.verdict.policy import Judgement, Limits

MOST = 3
#: So much of the deadline may pass without any assessment before a bag counts as lost on the way.
QUIET_PART = 4
#: Characters of the bag id in the id of a repeated scan (ids end at 128).
_ID_PART = 100


class Recalls:
    """Decides when; the bags remember how often."""

    def __init__(self, limits: Limits, belt: BeltState) -> None:
        self._tail_counts = limits.scan_tail_counts
        self._quiet_ns = limits.deadline_ns // QUIET_PART
        self._belt = belt
        self._heard_mono = 0

    def heard(self, found: Assessment, bag: Bag | None, open_bags: Iterable[Bag], now: Now) -> None:
        """An assessment came: the lane works, and what entered before ``bag`` should have come before it."""
        self._heard_mono = now.mono
        if bag is None or found.scan_id not in ("", found.bag_id):
            # A repeated scan comes out of order.
            return
        for other in open_bags:
            overtaken = other.record.encoder < bag.record.encoder and not other.recalls and other.held is None
            if overtaken and self._passed(other):
                other.wanted = True

    def saves(self, bag: Bag, judgement: Judgement, now: Now) -> bool:
        """Whether to wait for another try instead of giving ``judgement`` about ``bag``."""
        if judgement.reason is not Fault.SERVICE_RESTART or bag.recalls >= MOST or now.mono >= bag.due_mono:
            return False
        bag.lost, bag.wanted = judgement, True
        return True

    def due(self, open_bags: Iterable[Bag], now: Now) -> list[Recalled]:
        """What is to be asked for now."""
        out = []
        for bag in open_bags:
            if bag.recalls >= MOST or bag.held is not None or not self._passed(bag):
                continue
            if bag.quiet_mono is None:
                bag.quiet_mono = now.mono
            # A lane that is only slow must not be given every bag twice: one bag in so much silence, and that once.
            quiet = not bag.recalls and now.mono - max(bag.quiet_mono, self._heard_mono) >= self._quiet_ns
            if bag.wanted or quiet:
                self._heard_mono = now.mono if quiet else self._heard_mono
                bag.wanted = False
                bag.recalls += 1
                record = bag.record
                scan_id = f"{record.bag_id[:_ID_PART]}.again{now.wall // 1_000_000}"
                out.append(Recalled(record.bag_id, scan_id, record.encoder))
        return out

    def _passed(self, bag: Bag) -> bool:
        return self._belt.has_passed(bag.exit_encoder, self._tail_counts)
