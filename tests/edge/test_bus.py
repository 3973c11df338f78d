"""Bus, and the reading of events over it: nothing missed, nothing twice."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import zmq

from edge import wire
from edge.bridge import client
from edge.bridge.client import EventReader
from edge.bus import Bus, Stamp
from edge.messages import CommandReply, DeviceCommand, DeviceEvent, DeviceEventKind, LaneState


@pytest.fixture
def run_dir() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="dl-") as folder:
        yield Path(folder) / "run"


def test_stamps_count_and_name_process_and_boot() -> None:
    one, other = Stamp("readout"), Stamp("readout")
    first, second = one(LaneState(state="READY")), one(LaneState(state="READY"))
    assert (first.seq, second.seq) == (1, 2)
    assert first.source == "readout"
    assert first.boot_id == second.boot_id != other.boot_id
    assert first.t_ns <= second.t_ns


def test_sockets_come_from_the_table_with_its_limits(run_dir: Path) -> None:
    bus = Bus(run_dir, "test")
    pull = bus.socket("slabs", zmq.PULL, bind=True)
    assert pull.get_hwm() == 64
    assert pull.linger == 0
    with pytest.raises(ValueError, match="no endpoint is called 'slap'"):
        bus.socket("slap", zmq.PULL, bind=True)
    assert run_dir.stat().st_mode & 0o077 == 0
    bus.close()


def test_a_folder_too_deep_for_a_socket_is_named(tmp_path: Path) -> None:
    bus = Bus(tmp_path / ("x" * 90), "test")
    with pytest.raises(ValueError, match="too long for a Unix socket"):
        bus.socket("slabs", zmq.PULL, bind=True)
    bus.close()


class Bridge:
    """The bridge's two sockets, with a list of events instead of a belt."""

    def __init__(self, run_dir: Path) -> None:
        self.bus = Bus(run_dir, "bridge")
        self.events = self.bus.socket("events", zmq.PUB, bind=True)
        self.commands = self.bus.socket("commands", zmq.ROUTER, bind=True)
        self.remembered: list[DeviceEvent] = []
        self.asked: list[int] = []

    def happen(self, seq: int, *, publish: bool = True) -> None:
        event = DeviceEvent(seq=seq, kind=DeviceEventKind.BAG_ENTRY, bag_id=f"bag-{seq}")
        self.remembered.append(event)
        if publish:
            self.events.send_multipart(wire.encode("event", event))

    def answer(self) -> None:
        while self.commands.poll(0):
            peer, *frames = self.commands.recv_multipart()
            _, command, _ = wire.decode(frames, DeviceCommand)
            self.asked.append(command.after_seq)
            events = tuple(event for event in self.remembered if event.seq > command.after_seq)
            reply = CommandReply(ok=True, events=events, devices={"belt": "present"})
            self.commands.send_multipart([peer, *wire.encode("reply", reply)])


def read_until(
    reader: EventReader, bridge: Bridge | None, done: Callable[[Sequence[DeviceEvent]], bool]
) -> list[DeviceEvent]:
    """Events as they come, until ``done``; 10 s at most."""
    seen: list[DeviceEvent] = []
    end = time.monotonic() + 10
    while not done(seen):
        assert time.monotonic() < end, f"only {[e.seq for e in seen]}"
        if bridge is not None:
            bridge.answer()
        seen += reader.read()
        time.sleep(0.002)
    return seen


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "ASK_EVERY_S", 0.02)
    monkeypatch.setattr(client, "ANSWER_WITHIN_S", 0.05)


@pytest.mark.usefixtures("fast")
def test_a_reader_gets_every_event_once_and_in_order(run_dir: Path) -> None:
    bridge = Bridge(run_dir)
    for seq in (100, 101):
        bridge.happen(seq, publish=False)
    bus = Bus(run_dir, "readout")
    reader = EventReader(bus)
    # What happened before the reader was there.
    assert [e.seq for e in read_until(reader, bridge, lambda seen: len(seen) == 2)] == [100, 101]
    assert reader.devices == {"belt": "present"}
    # What is published twice, and what gets lost on the way.
    bridge.happen(102)
    bridge.happen(102)
    bridge.happen(103, publish=False)
    bridge.happen(104)
    assert [e.seq for e in read_until(reader, bridge, lambda seen: len(seen) == 3)] == [102, 103, 104]
    # A lost last event leaves no gap; it comes with the next question.
    bridge.happen(105, publish=False)
    assert [e.seq for e in read_until(reader, bridge, bool)] == [105]
    bus.close()
    bridge.bus.close()


@pytest.mark.usefixtures("fast")
def test_a_reader_survives_a_bridge_that_starts_again(run_dir: Path) -> None:
    bus = Bus(run_dir, "readout")
    reader = EventReader(bus)
    assert reader.read() == []
    bridge = Bridge(run_dir)
    bridge.happen(7, publish=False)
    assert [e.seq for e in read_until(reader, bridge, bool)] == [7]
    bridge.bus.close()
    time.sleep(0.1)
    reader.read()
    again = Bridge(run_dir)
    again.remembered = [*bridge.remembered]
    again.happen(8, publish=False)
    assert [e.seq for e in read_until(reader, again, bool)] == [8]
    # The questions asked meanwhile did not pile up without bound.
    assert set(again.asked) <= {7, 8}
    bus.close()
    again.bus.close()


@pytest.mark.usefixtures("fast")
def test_unreadable_events_are_skipped(run_dir: Path) -> None:
    bridge = Bridge(run_dir)
    bus = Bus(run_dir, "verdict")
    reader = EventReader(bus, encoder=True)
    bridge.happen(1, publish=False)
    read_until(reader, bridge, bool)
    report = DeviceEvent(kind=DeviceEventKind.ENCODER, encoder=55)
    seen: list[DeviceEvent] = []
    end = time.monotonic() + 10
    while not seen:  # the subscription may not have reached the publisher yet
        assert time.monotonic() < end
        bridge.events.send_multipart([b"event", b"\xc1"])
        bridge.events.send_multipart(wire.encode("event", report))
        bridge.answer()
        seen = reader.read()
    assert {e.encoder for e in seen} == {55}
    bus.close()
    bridge.bus.close()
