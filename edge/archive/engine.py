"""Collects what belongs to one bag and decides when its file can be written: the archive without sockets.

A bag is written as soon as its final verdict, its last image slab and its last raw slab are there. When one of
them does not come (a service was killed, the deadline passed), the bag is written with what there is once
it has been quiet for as long as the lane's deadline. Raw phase sums are read from the spool as the readout appends
them, and the spool file goes only after the HDF5 file is safely in place.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from edge.archive import layout
from edge.archive.derived import Derived
from edge.archive.hdf5 import BagWriter, SlabMismatch
from edge.archive.late import add_late_verdict, is_known
from edge.archive.provenance import Provenance, describe
from edge.archive.reader import BagFileError
from edge.archive.tail import SpoolTail
from edge.config import Config
from edge.messages import Arrays, ImageSlab, Verdict
from edge.spool import Spool, SpoolError

#: Bags collected at once; the quietest is written first when there are more.
MAX_OPEN_BAGS = 16
#: Finished bags remembered for late messages.
REMEMBERED_BAGS = 1000


@dataclass
class _OpenBag:
    """What has come of one bag so far."""

    tail: SpoolTail | None
    touched: float
    writer: BagWriter | None = None
    images_ended: bool = False
    sums_ended: bool = False
    failed: bool = False
    verdict: Verdict | None = None
    supplements: list[Verdict] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        return self.verdict is not None and self.images_ended and self.sums_ended


class Archive:
    """One HDF5 file and one sheet per bag in ``<state_dir>/archive``; never raises on a bad message or a full disk."""

    def __init__(
        self, config: Config, log: logging.Logger | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.folder = config.state_dir / "archive"
        self.counters: OrderedDict[str, int] = OrderedDict()
        self._log = log or logging.getLogger("archive")
        self._clock = clock
        self._provenance: Provenance = describe(config)
        self._derived = Derived(config, self._log, self._count)
        self._quiet_s = config.verdict.deadline_s
        self._spool = Spool(config.state_dir / "spool")
        self._bags: OrderedDict[str, _OpenBag] = OrderedDict()
        self._finished: OrderedDict[str, None] = OrderedDict()
        self.folder.mkdir(parents=True, exist_ok=True)
        self._recover()

    def path(self, bag_id: str) -> Path:
        """HDF5 file of one bag; its sheet has the suffix ``.png``."""
        return self.folder / f"{bag_id}{layout.SUFFIX}"

    @property
    def open_bags(self) -> int:
        """Bags that are being collected."""
        return len(self._bags)

    def images(self, slab: ImageSlab, arrays: Arrays) -> None:
        """Take one slab of retrieved images."""
        bag = self._bag(slab.bag_id)
        if bag is None:
            self._count("late_slabs")
            return
        bag.touched = self._clock()
        # Not "or": a bag that a service lost half-way is sent again from its first slab.
        bag.images_ended = slab.last
        self._store(slab.bag_id, bag, partial(BagWriter.add_images, slab=slab, arrays=arrays))

    def verdict(self, verdict: Verdict) -> None:
        """Take a bag's final verdict, or a supplement to it."""
        bag = self._bag(verdict.bag_id)
        if bag is None:
            self._late(verdict)
            return
        bag.touched = self._clock()
        if verdict.final and bag.verdict is None:
            bag.verdict = verdict
        elif not is_known(verdict, bag.verdict, bag.supplements):
            bag.supplements.append(verdict)

    def tick(self) -> list[Path]:
        """Write every bag whose time has come; returns the new files."""
        now = self._clock()
        due = []
        for bag_id, bag in self._bags.items():
            self._follow_spool(bag_id, bag)
            if bag.complete or now - bag.touched >= self._quiet_s:
                due.append(bag_id)
        waiting = [bag_id for bag_id in self._bags if bag_id not in due]
        if len(waiting) > MAX_OPEN_BAGS:
            waiting.sort(key=lambda bag_id: self._bags[bag_id].touched)
            due += waiting[: len(waiting) - MAX_OPEN_BAGS]
        return [path for path in map(self._finish, due) if path is not None]

    def close(self) -> list[Path]:
        """The service stops: write the judged bags. The others stay in the spool, for the next start."""
        judged = [bag_id for bag_id, bag in self._bags.items() if bag.verdict is not None]
        for bag_id in judged:
            self._follow_spool(bag_id, self._bags[bag_id])
        written = [path for path in map(self._finish, judged) if path is not None]
        for bag in self._bags.values():
            if bag.writer is not None:
                bag.writer.abort()
        self._bags.clear()
        return written

    def _recover(self) -> None:
        """Half-written files of a killed predecessor go; bags that it left in the spool are taken up."""
        for part in self.folder.glob(f"*{layout.PART_SUFFIX}"):
            part.unlink(missing_ok=True)
        for bag_id in self._spool.bags():
            if self.path(bag_id).exists():
                self._spool.remove(bag_id)
            else:
                self._open(bag_id)

    def _open(self, bag_id: str) -> _OpenBag:
        try:
            tail = SpoolTail(self._spool.path(bag_id))
        except SpoolError as error:
            tail = None
            self._log.error("no phase sums: %s", error)
        bag = self._bags[bag_id] = _OpenBag(tail, touched=self._clock())
        return bag

    def _bag(self, bag_id: str) -> _OpenBag | None:
        """The open bag ``bag_id``, opened if it is new; None when its file is already written."""
        bag = self._bags.get(bag_id)
        if bag is None and bag_id not in self._finished and not self.path(bag_id).exists():
            bag = self._open(bag_id)
        return bag

    def _store(self, bag_id: str, bag: _OpenBag, store: Callable[[BagWriter], None]) -> None:
        """Write one slab of ``bag``; a bad slab is left out, a disk that refuses gives the bag up."""
        if bag.failed:
            return
        try:
            if bag.writer is None:
                bag.writer = BagWriter(self.path(bag_id), bag_id, self._provenance)
            store(bag.writer)
        except SlabMismatch as error:
            self._count("bad_slabs")
            self._log.error("slab left out: %s", error)
        except (OSError, RuntimeError) as error:
            self._give_up(bag_id, bag, error)

    def _follow_spool(self, bag_id: str, bag: _OpenBag) -> None:
        """Take what the readout appended; a growing spool file is news of the bag."""
        if bag.tail is None:
            return
        try:
            for slab, arrays in bag.tail.new():
                bag.touched = self._clock()
                bag.sums_ended = bag.sums_ended or slab.last
                self._store(bag_id, bag, partial(BagWriter.add_sums, slab=slab, arrays=arrays))
        except OSError as error:
            bag.tail = None
            self._log.error("bag %s: spool cannot be read (%s); no further phase sums", bag_id, error)

    def _finish(self, bag_id: str) -> Path | None:
        """Write one bag; None when that failed, and its raw data stays in the spool for the next start."""
        bag = self._bags.pop(bag_id)
        self._finished[bag_id] = None
        if len(self._finished) > REMEMBERED_BAGS:
            self._finished.popitem(last=False)
        if bag.failed:
            return None
        try:
            bag.writer = bag.writer or BagWriter(self.path(bag_id), bag_id, self._provenance)
            path = bag.writer.finish(bag.verdict, bag.supplements)
        except (OSError, RuntimeError) as error:
            self._give_up(bag_id, bag, error)
            return None
        self._count("bags")
        self._spool_done(bag_id)
        self._log.info("bag %s archived (%s)", bag_id, bag.verdict.decision.value if bag.verdict else "no verdict")
        self._derived.write(path)
        return path

    def _spool_done(self, bag_id: str) -> None:
        try:
            self._spool.remove(bag_id)
        except (OSError, SpoolError) as error:
            self._log.error("bag %s: spool file stays (%s)", bag_id, error)

    def _late(self, verdict: Verdict) -> None:
        path = self.path(verdict.bag_id)
        try:
            added = add_late_verdict(path, verdict)
        except (BagFileError, OSError) as error:
            self._count("lost_verdicts")
            self._log.error("late verdict of bag %s not archived: %s", verdict.bag_id, error)
            return
        if added:
            self._count("late_verdicts")
            self._derived.write(path)

    def _give_up(self, bag_id: str, bag: _OpenBag, error: Exception) -> None:
        # h5py reports some failed writes as RuntimeError.
        self._count("failed_bags")
        self._log.error(
            "bag %s: cannot write into %s (%s); its raw data stays in the spool", bag_id, self.folder, error
        )
        bag.failed = True
        if bag.writer is not None:
            bag.writer.abort()
            bag.writer = None

    def _count(self, name: str, amount: int = 1) -> None:
        self.counters[name] = self.counters.get(name, 0) + amount
