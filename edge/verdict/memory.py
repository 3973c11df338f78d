"""Which bags the ledger knows: those in the lane, those decided lately, and, through the journal, all before."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Protocol

from edge.messages import DeviceEvent
from edge.verdict.actions import BagRecord
from edge.verdict.bags import Bag

#: Decided bags kept in memory for late results; older ones are looked up in the journal.
REMEMBERED_BAGS = 256
#: Entry events of one device count and encoder reading within this time are one physical bag.
SAME_ENTRY_NS = 120_000_000_000


class History(Protocol):
    """What the journal tells about bags that were decided long ago."""

    def find(self, bag_id: str) -> Bag | None:
        """The decided bag of this id, or None."""


class BagMemory:
    """Finds bags by id or by their entry event."""

    def __init__(self, history: History) -> None:
        self.open: dict[str, Bag] = {}
        self._history = history
        self._decided: OrderedDict[str, Bag] = OrderedDict()
        self._alias: dict[str, str] = {}

    def find(self, bag_id: str) -> Bag | None:
        """The bag of this id, or of which this is another name."""
        bag_id = self._alias.get(bag_id, bag_id)
        return self.open.get(bag_id) or self._decided.get(bag_id) or self._history.find(bag_id)

    def entered_with(self, event: DeviceEvent) -> Bag | None:
        """A bag in memory whose entry this very event reports, whatever the event calls it."""
        return next((bag for bag in self._recent() if same_entry(bag.record, event)), None)

    def rename(self, alias: str, bag: Bag) -> None:
        """Take ``alias`` as another name of ``bag``."""
        self._alias[alias] = bag.record.bag_id

    def decided(self, bag: Bag) -> None:
        """The bag got its final verdict."""
        self.open.pop(bag.record.bag_id, None)
        self._decided[bag.record.bag_id] = bag
        while len(self._decided) > REMEMBERED_BAGS:
            gone, _ = self._decided.popitem(last=False)
            self._alias = {alias: bag_id for alias, bag_id in self._alias.items() if bag_id != gone}

    def _recent(self) -> Iterator[Bag]:
        yield from self.open.values()
        yield from self._decided.values()


def same_entry(record: BagRecord, event: DeviceEvent) -> bool:
    """Whether the event reports the very entry of ``record`` again."""
    if not record.event_seq or not event.event_seq:
        # One of them is not numbered (a bag that nobody saw enter): only the id can tell.
        return record.bag_id == event.bag_id
    when = event.event_t_ns or event.t_ns
    recent = not when or abs(when - record.entered_ns) < SAME_ENTRY_NS
    return recent and (event.event_seq, event.encoder) == (record.event_seq, record.encoder)
