"""Gives verdicts their sequence and writes them; keeps the lane honest while the disk refuses."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypeVar

from edge.messages import IATA, Decision, Fault, Verdict
from edge.verdict.actions import BagLeft, BagRecord, Now
from edge.verdict.bags import Bag
from edge.verdict.journal import AlreadyDecidedError, Journal, JournalError
from edge.verdict.spill import Spill
from edge.verdict.waiting import Row, Waiting

T = TypeVar("T")
RETRY_NS = 1_000_000_000
REMEMBERED_SEQS = 1024


@dataclass
class Recorder:
    """Writes into the journal; what the disk refuses goes into the spill file and waits, in order, for the journal.

    While anything waits, :attr:`fault` says why and no bag is cleared: a CLEAR that is not in the journal is UNKNOWN.
    ``run_dir``: where the second spill file lies; None: there is only the one beside the journal.
    """

    path: Path
    boot_id: str
    source: str = "verdict"
    run_dir: Path | None = None
    fault: str = ""
    journal: Journal | None = None
    #: The same file, while it can be read and not written.
    readable: Journal | None = None
    last_seq: int = 0
    finals: int = 0
    log: logging.Logger = field(default_factory=lambda: logging.getLogger("verdict"))
    _waiting: Waiting = field(default_factory=Waiting)
    _final_seqs: OrderedDict[str, int] = field(default_factory=OrderedDict)
    _next_try: int = 0
    #: Final verdicts of the journal that :attr:`finals` counts already.
    _counted: int = 0

    def __post_init__(self) -> None:
        self._spill = Spill([self.path.parent, *([self.run_dir] if self.run_dir else [])])
        for row in self._spill.read():
            self._waiting.append(row)
        for verdict in self._waiting.verdicts():
            self.last_seq = max(self.last_seq, verdict.seq)
            if verdict.final:
                self.finals += 1
                self._remember(verdict)
        self._spill.take()

    @property
    def waiting(self) -> int:
        """Rows that the journal has not taken yet."""
        return len(self._waiting)

    def open(self, now: Now) -> list[Bag]:
        """Open the journal; returns the bags that are still without a verdict, as far as they can be known."""
        self._next_try = now.mono + RETRY_NS
        try:
            self.journal = Journal(self.path)
        except JournalError as error:
            self._failed(error)
        bags = self._waiting.open_bags(self._known())
        self._flush()
        return bags

    def _known(self) -> list[Bag]:
        """Where the journal stands, whether it can be written or only read; its open bags."""
        if self.journal is None and self.readable is None:
            try:
                self.readable = Journal(self.path, read_only=True)
            except JournalError:
                return []
        elif self.journal is not None and self.readable is not None:
            self.readable.close()
            self.readable = None
        self.last_seq = max(self.last_seq, self._read(lambda journal: journal.last_seq(), 0))
        finals = self._read(lambda journal: journal.finals(), 0)
        self.finals, self._counted = self.finals + finals - self._counted, finals
        nothing: list[Bag] = []
        return self._read(lambda journal: journal.open_bags(), nothing)

    def find(self, bag_id: str) -> Bag | None:
        """The decided bag of this id, or None."""
        return self._read(lambda journal: journal.find(bag_id), None) or self._waiting.find(bag_id)

    def unpublished(self) -> list[Verdict]:
        """Verdicts that a killed predecessor wrote and perhaps did not send, in order."""
        journaled: list[Verdict] = self._read(lambda journal: journal.unpublished(), [])
        found = {verdict.seq: verdict for verdict in [*self._waiting.verdicts(), *journaled]}
        return [found[seq] for seq in sorted(found)]

    def bag(self, record: BagRecord) -> None:
        """A bag entered."""
        self._write(Row("bag", asdict(record)))

    def left(self, left: BagLeft) -> None:
        """Its trailing edge passed."""
        self._write(Row("exit", asdict(left)))

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
                self._keep(Row("verdict", stamped.model_dump(mode="json")))
        except AlreadyDecidedError as error:
            self.log.error("%s", error, extra={"bag_id": verdict.bag_id})
            return None
        self.last_seq = stamped.seq
        if stamped.final:
            self.finals += 1
            self._remember(stamped)
        return stamped

    def published(self, seq: int) -> None:
        """The verdict went out; a mark that cannot be written costs a repeat after the next start, nothing else."""
        if not self._now(lambda journal: journal.mark_published(seq)):
            self._waiting.append(Row("published", {"seq": seq}))

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
            self.log.error("%d journal rows wait for the next start: %s", len(self._waiting), self.fault)
        for journal in (self.journal, self.readable):
            if journal is not None:
                journal.close()

    def _remember(self, verdict: Verdict) -> None:
        self._final_seqs[verdict.bag_id] = verdict.seq
        while len(self._final_seqs) > REMEMBERED_SEQS:
            self._final_seqs.popitem(last=False)

    def _final_seq(self, bag_id: str) -> int | None:
        if bag_id in self._final_seqs:
            return self._final_seqs[bag_id]
        return self._read(lambda journal: journal.final_seq(bag_id), None)

    def _read(self, question: Callable[[Journal], T], otherwise: T) -> T:
        journal = self.journal or self.readable
        try:
            return otherwise if journal is None else question(journal)
        except JournalError as error:
            self._failed(error)
            return otherwise

    def _write(self, row: Row) -> None:
        if not self._now(row.write):
            self._keep(row)

    def _keep(self, row: Row) -> None:
        """What the journal refuses: on disk all the same, if there is any place, before it is published."""
        self._waiting.append(row)
        if not self._spill.add(row):
            self.log.critical("%s of bag %s is in memory only", row.kind, row.values.get("bag_id", "?"))

    def _now(self, write: Callable[[Journal], None]) -> bool:
        """Write behind everything that waits; False when the disk refuses."""
        if self.journal is None or not self._flush():
            return False
        try:
            write(self.journal)
        except JournalError as error:
            self._failed(error)
            return False
        return True

    def _flush(self) -> bool:
        if self.journal is None:
            return False
        waited = bool(self._waiting)
        try:
            while self._waiting:
                self._waiting[0].write(self.journal)
                self._waiting.popleft()
            if waited:
                self.last_seq = max(self.last_seq, self.journal.last_seq())
        except JournalError as error:
            self._failed(error)
            return False
        if waited:
            self._spill.clear()
        self.fault = ""
        return True

    def _failed(self, error: JournalError) -> None:
        if str(error) != self.fault:
            self.log.critical("%s. No bag is cleared until the journal can be written", error)
        self.fault = str(error)

    def _unwritten(self, verdict: Verdict) -> Verdict:
        """An alarm stays an alarm; nothing is cleared that is not in the journal."""
        detail = f"not in the journal when published: {self.fault}"
        if verdict.decision is not Decision.CLEAR:
            return verdict.model_copy(update={"detail": f"{verdict.detail}; {detail}".removeprefix("; ")})
        changed = {"decision": Decision.UNKNOWN, "iata": IATA[Decision.UNKNOWN], "reason": Fault.FAILED_RECON}
        return verdict.model_copy(update={**changed, "detail": detail})
