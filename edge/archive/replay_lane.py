"""Sends an archived bag through the services again: this process takes the places of bridge and readout.

Retrieval, inference, verdict and archive run as their own processes in a fresh state directory. They cannot tell a
replayed bag from a scanned one, save for its age.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import zmq

from edge import wire
from edge.archive.layout import SHEET_SUFFIX, SUFFIX
from edge.archive.reader import BagFile, empty_arrays
from edge.archive.replay_settings import ReplayError, copy_calibration, replay_config
from edge.messages import (
    Arrays,
    BagNotice,
    CommandReply,
    DeviceCommand,
    DeviceEvent,
    DeviceEventKind,
    Fault,
    LaneState,
    Slab,
    Verdict,
)
from edge.services import service
from edge.spool import Spool, SpoolWriter
from edge.supervisor import Supervisor

SERVICES = ("verdict", "inference", "retrieval", "archive")
READY_S = 60.0
#: The archive is given this long after the verdict.
ARCHIVE_S = 20.0
POLL_MS = 50
#: More starts of one service than this: it does not run here.
MAX_RESTARTS = 3


class ReplayLane:
    """One bag, one pass. Use as a context manager, then :meth:`run`."""

    def __init__(self, bag: BagFile, state_dir: Path, calibration: Path | None, say: Callable[[str], None]) -> None:
        if not bag.slab_headers:
            raise ReplayError(f"{bag.path} holds no raw phase sums; this bag cannot be replayed")
        self.bag = bag
        self.state_dir = state_dir
        self.verdicts: list[Verdict] = []
        self._say = say
        self._state: LaneState | None = None
        self._entered = False
        self._published: list[DeviceEvent] = []
        self._run_dir = Path(tempfile.mkdtemp(prefix="darklane-"))
        state_dir.mkdir(parents=True, exist_ok=True)
        try:
            copy_calibration(bag, calibration, state_dir)
            self.config = replay_config(bag, state_dir, self._run_dir)
            self._supervisor = Supervisor(self.config, tuple(service(name) for name in SERVICES))
        except BaseException:
            shutil.rmtree(self._run_dir, ignore_errors=True)
            raise
        bus = self._supervisor.bus
        self._events = bus.socket("events", zmq.PUB, bind=True)
        self._commands = bus.socket("commands", zmq.ROUTER, bind=True)
        self._slabs = bus.socket("slabs", zmq.PUSH, bind=False)
        self._feed = bus.subscriber("feed")

    def __enter__(self) -> ReplayLane:
        try:
            self._supervisor.start()
            self._supervisor.wait_ready(READY_S)
        except BaseException as error:
            self.close()
            if isinstance(error, RuntimeError):
                raise ReplayError(f"the services do not start: {error}") from error
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop the services."""
        self._supervisor.stop()
        shutil.rmtree(self._run_dir, ignore_errors=True)

    @property
    def archive_file(self) -> Path:
        """HDF5 file that the replay's archive writes."""
        return self.state_dir / "archive" / f"{self.bag.bag_id}{SUFFIX}"

    def run(self) -> Verdict:
        """Play the bag; returns its final verdict once the archive has written it too (or took too long)."""
        first = self.bag.slab_headers[0]
        self._until(lambda: self._state is not None, READY_S, "no sign of life on the verdict feed")
        self._publish(DeviceEventKind.BAG_ENTRY, first.bag_from_um)
        self._until(lambda: self._entered, READY_S, "the verdict service did not take the bag's entry")
        self._send_slabs()
        patience = self.config.verdict.deadline_s + 10
        self._until(lambda: self._final is not None, patience, "no verdict came")
        with suppress(ReplayError):
            self._until(lambda: self.archive_file.with_suffix(SHEET_SUFFIX).exists(), ARCHIVE_S, "no archive file")
        final = self._final
        assert final is not None
        return final

    @property
    def _final(self) -> Verdict | None:
        return next((verdict for verdict in self.verdicts if verdict.final), None)

    def _send_slabs(self) -> None:
        """All slabs in order, spooled first as the readout does; the exit event comes before the last one."""
        left_um = next((slab.bag_to_um for slab in self.bag.slab_headers if slab.bag_to_um is not None), None)
        writer = Spool(self.state_dir / "spool").writer(self.bag.bag_id)
        last: Slab | None = None
        try:
            for slab, arrays in self.bag.slabs():
                if slab.last and left_um is not None:
                    self._publish(DeviceEventKind.BAG_EXIT, left_um)
                self._send(writer, slab, arrays)
                last = slab
            if last is not None and not last.last:
                # The archive holds a torn bag. Its replay ends as what it is, not at the deadline.
                self._send(writer, _end_of(last), empty_arrays(last))
        finally:
            writer.close()

    def _send(self, writer: SpoolWriter, slab: Slab, arrays: Arrays) -> None:
        frames = wire.encode("slab", self._supervisor.bus.stamp(slab), arrays)
        writer.append(frames)
        self._until(lambda: bool(self._slabs.poll(0, zmq.POLLOUT)), READY_S, "retrieval does not take slabs")
        self._slabs.send_multipart(frames)

    def _publish(self, kind: DeviceEventKind, edge_um: float) -> None:
        """One belt event of the bag whose edge has the belt coordinate ``edge_um``."""
        scanner = self.bag.scanner
        verdict = self.bag.verdict
        number = len(self._published) + 1
        event = DeviceEvent(
            kind=kind,
            event_seq=number,
            encoder=round((edge_um - scanner.barrier_to_beam_mm * 1e3) / scanner.encoder_um),
            event_t_ns=time.time_ns(),
            bag_id=self.bag.bag_id,
            bag_tag=verdict.bag_tag if verdict else "",
        )
        event = self._supervisor.bus.stamp(event).model_copy(update={"seq": number})
        self._published.append(event)
        self._events.send_multipart(wire.encode("event", event))

    def _until(self, done: Callable[[], bool], patience_s: float, failed: str) -> None:
        """Serve the bus until ``done``; :class:`ReplayError` when that takes too long."""
        deadline = time.monotonic() + patience_s
        while not done():
            if time.monotonic() > deadline:
                raise ReplayError(f"{failed} within {patience_s:.0f} s; logs are in {self._supervisor.logs}")
            self._serve()

    def _serve(self) -> None:
        """Answer commands as the bridge would, read the feed, look after the processes."""
        poller = zmq.Poller()
        for sock in (self._commands, self._feed):
            poller.register(sock, zmq.POLLIN)
        poller.poll(POLL_MS)
        while self._commands.poll(0):
            self._answer(*self._commands.recv_multipart())
        while self._feed.poll(0):
            with suppress(wire.WireError):
                _, message, _ = wire.decode_any(self._feed.recv_multipart())
                if isinstance(message, LaneState):
                    self._state = message
                elif isinstance(message, BagNotice):
                    self._entered = self._entered or message.bag_id == self.bag.bag_id
                elif isinstance(message, Verdict) and message.bag_id == self.bag.bag_id:
                    self.verdicts.append(message)
        for line in self._supervisor.poll():
            self._say(line)
        for child in self._supervisor.children.values():
            if child.restarts > MAX_RESTARTS:
                raise ReplayError(f"{child.service.name} does not stay alive; see {child.log}")

    def _answer(self, peer: bytes, *frames: bytes) -> None:
        try:
            _, command, _ = wire.decode(frames, DeviceCommand)
        except wire.WireError as error:
            reply = CommandReply(ok=False, reason=f"unreadable command: {error}")
        else:
            events = self._published if command.action == "events_since" else []
            reply = CommandReply(
                ok=True, events=tuple(e for e in events if e.seq > command.after_seq), devices={"belt": "replayed bag"}
            )
        self._commands.send_multipart([peer, *wire.encode("reply", self._supervisor.bus.stamp(reply))])


def _end_of(slab: Slab) -> Slab:
    return slab.model_copy(
        update={
            "index": slab.index + 1,
            "column0": slab.column0 + slab.columns,
            "columns": 0,
            "last": True,
            "fault": slab.fault or Fault.INCOMPLETE_SCAN,
        }
    )
