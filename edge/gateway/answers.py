"""Answers one request of a client from journal, archive, calibration and what was heard on the feed; no sockets."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Final, TypeVar

import numpy as np

from edge import topics, wire
from edge.archive import layout
from edge.archive.reader import BagFile, BagFileError
from edge.bus import Stamp
from edge.config import Config
from edge.gateway.memory import Known
from edge.messages import BagImage, BagNotice, CalibrationStatus, FeedReply, FeedRequest, Hello, Message, Verdict
from edge.verdict.actions import BagRecord, Now
from edge.verdict.calibration_state import CalibrationState
from edge.verdict.journal import FILE_NAME, JournalError
from edge.verdict.journal_reader import JournalReader
from edge.verdict.spill import Spill
from edge.verdict.waiting import Waiting
from firmware_bridge.scanner import BINS

#: Text of the verdicts in one answer; less than what a reader takes as a header (edge.wire).
MAX_PAGE_BYTES: Final = wire.MAX_HEADER_BYTES // 2
#: A full field of 2048 rows and a bag of 0.6 m.
MAX_IMAGE_BYTES: Final = 128 << 20

Frames = list["bytes | memoryview"]
M = TypeVar("M", bound=Message)


class RefusedError(ValueError):
    """It cannot be answered; the text says why and what to do."""


class Answerer:
    """Reads only. One thread calls it; an answer may take as long as a disk takes."""

    def __init__(self, config: Config, stamp: Stamp) -> None:
        self._journal = config.state_dir / FILE_NAME
        self._spill = [config.state_dir, config.run_dir]
        self._archive: Path = config.state_dir / "archive"
        self._calibration = CalibrationState(config)
        self._stamp = stamp
        self._lock = threading.Lock()

    def __call__(self, request: FeedRequest, known: Known) -> Frames:
        """Frames of the answer; a refusal is an answer too."""
        try:
            if request.ask == "image":
                return self._image(request)
            if request.ask == "replay":
                reply = self._replay(request, known)
            elif request.ask == "snapshot":
                reply = self._snapshot(request, known)
            else:
                reply = FeedReply(request_id=request.request_id, ok=True, calibration=self._status(known))
        except (RefusedError, JournalError) as error:
            return self.refuse(request.request_id, str(error))
        return wire.encode(topics.REPLY, self._stamped(reply))

    def refuse(self, request_id: str, reason: str) -> Frames:
        """The answer to what is not answered."""
        return wire.encode(topics.REPLY, self._stamped(FeedReply(request_id=request_id, ok=False, reason=reason)))

    def _stamped(self, message: M) -> M:
        # The loop refuses while the thread answers.
        with self._lock:
            return self._stamp(message)

    def _snapshot(self, request: FeedRequest, known: Known) -> FeedReply:
        waiting = self._waiting()
        written, bags = 0, {notice.bag_id: notice for notice in known.bags}
        entered = [_notice(bag.record) for bag in waiting.open_bags([])]
        if self._journal.exists():
            with JournalReader(self._journal) as journal:
                written = journal.last_seq()
                bags |= {notice.bag_id: notice for notice in journal.notices()}
                entered = [notice for notice in entered if not journal.decided(notice.bag_id)]
        bags |= {notice.bag_id: notice for notice in entered}
        later = _later(waiting, known, written)
        for verdict in later.values():
            if verdict.final:
                bags.pop(verdict.bag_id, None)
        last_seq = max([known.last_seq, written, *later])
        return FeedReply(
            request_id=request.request_id,
            ok=True,
            hello=_hello(known, last_seq),
            lane_state=known.state,
            bags=tuple(bags.values()),
            last_seq=last_seq,
            calibration=self._status(known),
        )

    def _replay(self, request: FeedRequest, known: Known) -> FeedReply:
        """The journal first; what its disk refuses follows, as far as nothing is missing in between."""
        waiting = self._waiting()
        until = request.until_seq or (1 << 62)
        found: list[Verdict] = []
        more, written = False, 0
        trouble = "the lane has no journal yet"
        if self._journal.exists():
            try:
                with JournalReader(self._journal) as journal:
                    found, more = journal.page(request.after_seq, until, request.limit, MAX_PAGE_BYTES)
                    written, trouble = journal.last_seq(), ""
            except JournalError as error:
                trouble = str(error)
        later = _later(waiting, known, max(written, request.after_seq))
        last_seq = max([known.last_seq, written, *later])
        if not more:
            seq = max(written, request.after_seq) + 1
            # Never over a hole: whoever asks would take what is missing for lost, and it may be in the journal soon.
            while seq in later and seq <= until and len(found) < request.limit:
                found.append(later[seq])
                seq += 1
            more = seq in later and seq <= until
            if not found and seq not in later and seq <= min(until, last_seq):
                what = trouble or "the verdict service holds it until the disk can be written"
                held = f", or for verdicts after {min(later) - 1}" if later else ""
                raise RefusedError(f"verdict {seq} is not in the journal: {what}; ask again{held}")
        return FeedReply(
            request_id=request.request_id,
            ok=True,
            hello=_hello(known, last_seq),
            verdicts=tuple(found),
            last_seq=last_seq,
            more=more,
        )

    def _waiting(self) -> Waiting:
        """What waits on disk for the journal. Read before the journal, so that what goes over meanwhile is in one."""
        return Waiting(Spill(self._spill).read())

    def _image(self, request: FeedRequest) -> Frames:
        if not request.bag_id:
            raise RefusedError("bag_id is empty; name the bag whose image is wanted")
        path = self._archive / f"{request.bag_id}{layout.SUFFIX}"
        if not path.is_file():
            raise RefusedError(f"bag {request.bag_id}: no image is archived (yet); ask again after its bag.end")
        try:
            with BagFile(path) as file:
                return self._image_of(request, file)
        except (BagFileError, OSError, KeyError) as error:
            raise RefusedError(f"bag {request.bag_id}: its image cannot be read ({error}); ask again") from error

    def _image_of(self, request: FeedRequest, file: BagFile) -> Frames:
        size = file.geometry
        if size is None or not file.has_images:
            raise RefusedError(f"bag {request.bag_id}: nothing was retrieved of it, so there is no image")
        shape = (len(layout.IMAGE_CHANNELS), len(BINS), size.rows, size.columns)
        if 4 * int(np.prod(shape)) > MAX_IMAGE_BYTES:
            raise RefusedError(
                f"bag {request.bag_id}: image {shape} is too large to send; read its file in the archive"
            )
        image = np.empty(shape, np.float32)
        # Plane by plane: in between, other threads get their turn.
        for index, channel in enumerate(layout.IMAGE_CHANNELS):
            for number in range(len(BINS)):
                image[index, number] = file.channel(channel.name, number)
        message = BagImage(
            request_id=request.request_id,
            bag_id=file.bag_id,
            rows=size.rows,
            columns=size.columns,
            channels=tuple(f"{channel.name} [{channel.unit}]" for channel in layout.IMAGE_CHANNELS),
            pixel_mm=(size.row_pitch_um / 1e3, size.grid_um / 1e3),
        )
        return wire.encode(topics.BAG_IMAGE, self._stamped(message), {"image": image})

    def _status(self, known: Known) -> CalibrationStatus:
        now = time.time_ns()
        calibration = self._calibration
        calibration.tick(Now(now, time.monotonic_ns()))
        if known.verdicts:
            calibration.seen(_verdict(known.verdicts[-1][1]))
        created = calibration.created_ns
        return CalibrationStatus(
            state=calibration.state,
            calibration_id=calibration.id,
            created_ns=created,
            age_h=(now - created) / 3.6e12 if created else None,
            detail=calibration.due,
        )


def _hello(known: Known, last_seq: int) -> Hello | None:
    return known.hello.model_copy(update={"last_verdict_seq": last_seq}) if known.hello else None


def _notice(record: BagRecord) -> BagNotice:
    return BagNotice(
        bag_id=record.bag_id, encoder=record.encoder, bag_tag=record.bag_tag, deadline_ns=record.deadline_ns
    )


def _later(waiting: Waiting, known: Known, after: int) -> dict[int, Verdict]:
    """Verdicts after ``after`` by their sequence: what the disk refused, and what was heard on the feed."""
    found = {verdict.seq: verdict for verdict in waiting.verdicts() if verdict.seq > after}
    return found | {seq: _verdict(frames) for seq, frames in known.verdicts if seq > after and seq not in found}


def _verdict(frames: list[bytes]) -> Verdict:
    return wire.decode(frames, Verdict)[1]
