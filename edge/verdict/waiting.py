"""Rows that the journal has not taken yet, and what they say about bags."""

from __future__ import annotations

import logging
from collections import deque
from typing import Any, NamedTuple

from edge.messages import Verdict
from edge.verdict.actions import BagLeft, BagRecord
from edge.verdict.bags import Bag
from edge.verdict.journal import AlreadyDecidedError, Journal
from edge.verdict.policy import Judgement


class Row(NamedTuple):
    """One row; ``kind`` is bag, exit, verdict or published, ``values`` can be written as JSON."""

    kind: str
    values: dict[str, Any]

    def write(self, journal: Journal) -> None:
        """Write it; a row that the journal has already changes nothing."""
        if self.kind == "bag":
            journal.add_bag(BagRecord(**self.values))
        elif self.kind == "exit":
            journal.add_exit(BagLeft(**self.values))
        elif self.kind == "published":
            journal.mark_published(self.values["seq"])
        else:
            _add_late(journal, Verdict.model_validate(self.values))


class Waiting(deque[Row]):
    """The rows in order."""

    def verdicts(self) -> list[Verdict]:
        """The verdicts among them."""
        return [Verdict.model_validate(row.values) for row in self if row.kind == "verdict"]

    def find(self, bag_id: str) -> Bag | None:
        """The bag of this id, if its final verdict is among them."""
        for verdict in self.verdicts():
            if verdict.final and verdict.bag_id == bag_id:
                record = BagRecord(
                    bag_id, verdict.bag_tag, 0, verdict.encoder, 0, verdict.deadline_ns, verdict.deadline_encoder
                )
                final = Judgement(verdict.decision, verdict.reason, verdict.detail, verdict.threshold)
                return Bag(record, due_mono=0, final=final)
        return None

    def open_bags(self, journaled: list[Bag]) -> list[Bag]:
        """The bags without a verdict, when ``journaled`` are those that the journal knows."""
        bags = {bag.record.bag_id: bag for bag in journaled}
        for kind, values in self:
            bag_id = values.get("bag_id", "")
            if kind == "bag":
                bags.setdefault(bag_id, Bag(BagRecord(**values), due_mono=0))
            elif kind == "exit" and bag_id in bags:
                bags[bag_id].exit_encoder, bags[bag_id].exit_ns = values["encoder"], values["t_ns"]
            elif kind == "verdict" and values["final"]:
                bags.pop(bag_id, None)
        return list(bags.values())


def _add_late(journal: Journal, verdict: Verdict) -> None:
    """Write a verdict that waited; one that lost its sequence to an older journal gets the next free one."""
    if journal.holds(verdict):
        return
    seq = max(verdict.seq, journal.last_seq() + 1)
    try:
        journal.add_verdict(verdict.model_copy(update={"seq": seq}))
    except AlreadyDecidedError:
        logging.getLogger("verdict").error("bag %s was decided before the journal failed", verdict.bag_id)
