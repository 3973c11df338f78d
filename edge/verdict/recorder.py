"""Gives verdicts their sequence and writes them; keeps the lane honest while the disk refuses."""

from __future__ import annotations

import logging
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from edge.messages import IATA, Decision, Fault, Verdict
from edge.verdict.actions import BagLeft, BagRecord, Now
from edge.verdict.bags import Bag
from edge.verdict.journal import AlreadyDecidedError, Journal, JournalError

T = TypeVar("T")
RETRY_NS = 1_000_000_000
REMEMBERED_SEQS = 1024


@dataclass
class Recorder:
    """Writes into the journal; what the disk refuses waits in memory, in order, until it can be written.

    While anything waits, :attr:`fault` says why and no bag is cleared: a CLEAR that is not on disk is UNKNOWN.
    """

    path: Path
    boot_id: str
    source: str = "verdict"
    fault: str = ""
    journal: Journal | None = None
    last_seq: int = 0
    finals: int = 0
    log: logging.Logger = field(default_factory=lambda: logging.getLogger("verdict"))
    _waiting: deque[Callable[[Journal], None]] = field(default_factory=deque)
    _final_seqs: OrderedDict[str, int] = field(default_factory=OrderedDict)
    _next_try: int = 0

    def open(self, now: Now) -> list[Bag]:
        """Open the journal; returns the bags that are still without a verdict (none while it cannot be opened)."""
        self._next_try = now.mono + RETRY_NS
        try:
            journal = Journal(self.path)
            self.last_seq = max(self.last_seq, journal.last_seq())
            self.finals += journal.finals()
            bags = journal.open_bags()
        except JournalError as error:
            self._failed(error)
            return []
        self.journal = journal
        return bags

    def find(self, bag_id: str) -> Bag | None:
        """The decided bag of this id, or None."""
        return self._read(lambda journal: journal.find(bag_id), None)

    def unpublished(self) -> list[Verdict]:
        """Verdicts that a killed predecessor wrote and perhaps did not send."""
        return self._read(lambda journal: journal.unpublished(), [])

    def bag(self, record: BagRecord) -> None:
        """A bag entered."""
        self._write(lambda journal: journal.add_bag(record))

    def left(self, left: BagLeft) -> None:
        """Its trailing edge passed."""
        self._write(lambda journal: journal.add_exit(left))

    def verdict(self, verdict: Verdict, now: Now) -> Verdict | None:
        """Write one verdict. Returns it as it is to be published; None when the bag has a final one already."""
        header = {"seq": self.last_seq + 1, "boot_id": self.boot_id, "t_ns": now.wall, "source": self.source}
        stamped = verdict.model_copy(update=header)
        earlier = self._final_seq(verdict.bag_id)
        if not verdict.final:
            stamped = stamped.model_copy(update={"supersedes": earlier})
        elif earlier is not None:
            self.log.error("bag %s has its final verdict %d; another is refused", verdict.bag_id, earlier)
            return None
        try:
            if not self._now(lambda journal: journal.add_verdict(stamped)):
                stamped = self._unwritten(stamped)
                kept = stamped
                self._waiting.append(lambda journal: _add_later(journal, kept))
        except AlreadyDecidedError as error:
            self.log.error("%s", error)
            return None
        self.last_seq = stamped.seq
        if stamped.final:
            self.finals += 1
            self._final_seqs[stamped.bag_id] = stamped.seq
            while len(self._final_seqs) > REMEMBERED_SEQS:
                self._final_seqs.popitem(last=False)
        return stamped

    def published(self, seq: int) -> None:
        """The verdict went out; a mark that cannot be written costs a repeat after the next start, nothing else."""
        self._write(lambda journal: journal.mark_published(seq))

    def tick(self, now: Now) -> list[Bag]:
        """Try again what the disk refused; returns open bags of a journal that could only be opened now."""
        if now.mono < self._next_try or (self.journal is not None and not self._waiting):
            return []
        found = self.open(now) if self.journal is None else []
        self._next_try = now.mono + RETRY_NS
        if self._flush():
            self.log.warning("the journal is written again")
        return found

    def close(self) -> None:
        """Close the journal."""
        if self._waiting:
            self.log.error("%d journal rows were never written: %s", len(self._waiting), self.fault)
        if self.journal is not None:
            self.journal.close()

    def _final_seq(self, bag_id: str) -> int | None:
        if bag_id in self._final_seqs:
            return self._final_seqs[bag_id]
        return self._read(lambda journal: journal.final_seq(bag_id), None)

    def _read(self, question: Callable[[Journal], T], otherwise: T) -> T:
        try:
            return otherwise if self.journal is None else question(self.journal)
        except JournalError as error:
            self._failed(error)
            return otherwise

    def _write(self, row: Callable[[Journal], None]) -> None:
        if not self._now(row):
            self._waiting.append(row)

    def _now(self, row: Callable[[Journal], None]) -> bool:
        """Write ``row`` behind everything that waits; False when the disk refuses."""
        if self.journal is None or not self._flush():
            return False
        try:
            row(self.journal)
        except JournalError as error:
            self._failed(error)
            return False
        return True

    def _flush(self) -> bool:
        while self._waiting:
            if self.journal is None:
                return False
            try:
                self._waiting[0](self.journal)
            except JournalError as error:
                self._failed(error)
                return False
            self._waiting.popleft()
        self.fault = "" if self.journal is not None else self.fault
        return self.journal is not None

    def _failed(self, error: JournalError) -> None:
        if str(error) != self.fault:
            self.log.critical("%s. No bag is cleared until the journal can be written", error)
        self.fault = str(error)

    def _unwritten(self, verdict: Verdict) -> Verdict:
        """An alarm stays an alarm; nothing is cleared that is not on disk."""
        detail = f"not in the journal when published: {self.fault}"
        if verdict.decision is not Decision.CLEAR:
            return verdict.model_copy(update={"detail": f"{verdict.detail}; {detail}".removeprefix("; ")})
        changed = {"decision": Decision.UNKNOWN, "iata": IATA[Decision.UNKNOWN], "reason": Fault.FAILED_RECON}
        return verdict.model_copy(update={**changed, "detail": detail})


def _add_later(journal: Journal, verdict: Verdict) -> None:
    """Write a verdict that waited; one that lost its sequence to an older journal gets the next free one."""
    seq = max(verdict.seq, journal.last_seq() + 1)
    try:
        journal.add_verdict(verdict.model_copy(update={"seq": seq}))
    except AlreadyDecidedError:
        logging.getLogger("verdict").error("bag %s was decided before the journal failed", verdict.bag_id)
