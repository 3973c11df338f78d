"""Bridge: bags get their ids once, nothing is forgotten, and the line is never cleared for a stranger."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge import reserve
from edge.bridge.engine import BridgeEngine
from edge.bridge.store import RECENT_EVENTS, StateStore
from edge.messages import DeviceEvent, DeviceEventKind
from edge.spool import Spool
from firmware_bridge.belt import BeltEvent

T_NS = 1_760_000_000_000_000_000


@pytest.fixture
def store(tmp_path: Path) -> StateStore:
    return StateStore(tmp_path / "bridge.json")


@dataclass
class Controller:
    """Numbers its events like the belt controller."""

    boot: int = 7
    seq: int = 0

    def entry(self, encoder: int, tag: str = "T1") -> BeltEvent:
        self.seq += 1
        return BeltEvent("bag_entry", self.seq, encoder, self.boot, tag=tag)

    def exit(self, encoder: int) -> BeltEvent:
        self.seq += 1
        return BeltEvent("bag_exit", self.seq, encoder, self.boot)

    def interlock(self, closed: bool) -> BeltEvent:
        self.seq += 1
        return BeltEvent("interlock", self.seq, 0, self.boot, closed=closed)

    def encoder(self, encoder: int) -> BeltEvent:
        return BeltEvent("encoder", self.seq, encoder, self.boot)


def feed(engine: BridgeEngine, *events: BeltEvent) -> list[DeviceEvent]:
    return [published for event in events for published in engine.on_belt(event, T_NS)]


def test_exit_carries_the_id_of_its_entry(store: StateStore) -> None:
    belt = Controller()
    first, second, other, last = feed(
        BridgeEngine(store), belt.entry(100, "A"), belt.exit(900), belt.entry(1500, "A"), belt.exit(2000)
    )
    assert first.bag_id == second.bag_id != ""
    assert other.bag_id == last.bag_id != first.bag_id
    assert [e.event_seq for e in (first, second, other, last)] == [1, 2, 3, 4]
    assert [e.seq for e in (first, second, other, last)] == list(range(first.seq, first.seq + 4))


@given(tags=st.lists(st.text(max_size=80), min_size=1, max_size=8))
def test_bag_ids_are_unique_and_name_files(tmp_path_factory: pytest.TempPathFactory, tags: list[str]) -> None:
    folder = tmp_path_factory.mktemp("bridge")
    belt = Controller()
    ids = []
    for number, tag in enumerate(tags):
        # A new bridge process for every bag: the numbers go on.
        engine = BridgeEngine(StateStore(folder / "bridge.json"))
        event, _ = feed(engine, belt.entry(number, tag), belt.exit(number))
        ids.append(event.bag_id)
        assert event.bag_tag == tag
    assert len({bag_id.lower() for bag_id in ids}) == len(ids)
    for bag_id in ids:
        assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}", bag_id)
        Spool(folder).path(bag_id)


def test_repeated_events_are_published_once_also_by_the_next_bridge(store: StateStore) -> None:
    belt = Controller()
    entry = belt.entry(100)
    engine = BridgeEngine(store)
    (published,) = feed(engine, entry)
    assert feed(engine, entry) == []
    again = BridgeEngine(store)
    assert feed(again, entry) == []
    assert (engine.repeated, again.repeated) == (1, 1)
    # The bag that was open when the bridge died gets its exit.
    (leave,) = feed(again, belt.exit(900))
    assert leave.bag_id == published.bag_id
    assert [e.bag_id for e in again.events_since(0)] == [published.bag_id, published.bag_id]
    assert again.events_since(published.seq) == (leave,)
    assert again.events_since(leave.seq) == ()


def test_a_disk_that_takes_no_new_file_costs_neither_the_bridge_nor_its_events(store: StateStore) -> None:
    belt = Controller()
    engine = BridgeEngine(store)
    feed(engine, belt.entry(100, "A"))
    # No new file can be made here, as on a full disk.
    part = store.path.with_suffix(".part")
    part.mkdir()
    published = feed(engine, belt.exit(900), belt.entry(1500, "B"))
    # Killed here; the next bridge knows everything, and goes on after that as before.
    again = BridgeEngine(StateStore(store.path))
    assert again.events_since(published[0].seq - 1) == tuple(published)
    (leave,) = feed(again, belt.exit(2000))
    assert leave.bag_id == published[1].bag_id
    part.rmdir()
    (entered,) = feed(again, belt.entry(3000, "C"))
    last = BridgeEngine(StateStore(store.path))
    assert last.events_since(leave.seq) == (entered,)
    assert reserve.unpack(store.path.with_suffix(".reserve").read_bytes())[0] == []


def test_what_is_given_back_is_what_was_published(store: StateStore) -> None:
    belt = Controller()
    stamped = iter(range(50, 60))
    engine = BridgeEngine(
        store, lambda e: e.model_copy(update={"boot_id": "b1", "seq": next(stamped), "source": "bridge"})
    )
    published = feed(engine, belt.entry(1), belt.exit(2))
    assert engine.events_since(0) == tuple(published) == BridgeEngine(store).events_since(0)
    assert {e.boot_id for e in published} == {"b1"}
    assert published[1].seq == published[0].seq + 1


def test_the_first_words_of_a_controller_do_not_make_its_finding_forgotten(store: StateStore) -> None:
    engine = BridgeEngine(store)
    found = engine.on_link(found=True, t_ns=T_NS)
    feed(engine, Controller().interlock(True))
    # A reader that missed the event on the bus asks for it later.
    assert found in engine.events_since(found.seq - 1)


def test_a_restarted_controller_counts_from_the_start_and_is_believed(store: StateStore) -> None:
    before = Controller(boot=7)
    engine = BridgeEngine(store)
    (lost_bag,) = feed(engine, before.entry(500_000))
    after = Controller(boot=8)
    found, entry = feed(engine, after.entry(100))
    assert found.kind is DeviceEventKind.DEVICE_FOUND
    assert lost_bag.bag_id in found.detail
    assert found.encoder == 100, "the old count would put the next bag behind its deadline"
    assert entry.bag_id != lost_bag.bag_id
    (leave,) = feed(engine, after.exit(900))
    assert leave.bag_id == entry.bag_id
    # Encoder values of the old count place nothing on the belt any more.
    assert lost_bag.bag_id not in {e.bag_id for e in engine.events_since(0)}


def test_missing_halves_are_said(store: StateStore) -> None:
    belt = Controller()
    engine = BridgeEngine(store)
    alone, first, second, leave = feed(engine, belt.exit(10), belt.entry(100), belt.entry(5000), belt.exit(6000))
    assert alone.bag_id == ""
    assert alone.detail == "no entry was seen"
    assert first.bag_id in second.detail
    assert leave.bag_id == second.bag_id


def test_encoder_reports_are_published_but_not_remembered(store: StateStore) -> None:
    belt = Controller()
    engine = BridgeEngine(store)
    (report,) = feed(engine, belt.encoder(4242))
    assert (report.kind, report.encoder, report.seq) == (DeviceEventKind.ENCODER, 4242, 0)
    assert engine.events_since(0) == ()
    assert engine.status()["encoder"] == "4242"


def test_interlock_and_links_show_in_status_and_events(store: StateStore) -> None:
    belt = Controller()
    engine = BridgeEngine(store)
    assert engine.status()["interlock"] == "unknown"
    (opened,) = feed(engine, belt.interlock(closed=False))
    assert opened.interlock_closed is False
    assert engine.status()["interlock"] == "open"
    lost = engine.on_link(found=False, t_ns=T_NS, detail="unplugged")
    assert lost.kind is DeviceEventKind.DEVICE_LOST
    assert BridgeEngine(store).status()["interlock"] == "open"


def test_memory_of_events_is_bounded(store: StateStore) -> None:
    engine = BridgeEngine(store)
    for _ in range(RECENT_EVENTS + 20):
        engine.on_link(found=True, t_ns=T_NS)
    events = engine.events_since(0)
    assert len(events) == RECENT_EVENTS
    assert events[-1].seq - events[0].seq == RECENT_EVENTS - 1


@pytest.mark.parametrize("content", [b"", b"{", b'{"next_seq": "many"}', b"\xff\x00"])
def test_a_damaged_state_file_is_put_aside_and_numbers_still_grow(store: StateStore, content: bytes) -> None:
    belt = Controller()
    (before,) = feed(BridgeEngine(store), belt.entry(1))
    store.path.write_bytes(content)
    (after,) = feed(BridgeEngine(store), belt.exit(2))
    assert after.seq >= before.seq
    assert store.path.with_suffix(".damaged").read_bytes() == content


@pytest.mark.parametrize(
    ("encoder_from", "encoder_to", "own", "refused"),
    [
        (1500, 2000, True, ""),
        (1500, 2000, False, "did not enter"),
        (1500, 1500, True, "empty"),
        (2000, 1500, True, "empty"),
        (50, 2000, True, "before the bag's entry"),
    ],
)
def test_the_line_is_cleared_only_for_a_bag_that_entered_here(
    store: StateStore, encoder_from: int, encoder_to: int, own: bool, refused: str
) -> None:
    belt = Controller()
    engine = BridgeEngine(store)
    event, _ = feed(engine, belt.entry(100), belt.exit(900))
    reason = engine.refuse_clear(event.bag_id if own else "bag-x", encoder_from, encoder_to)
    assert refused in reason
    assert bool(refused) == bool(reason)


def test_encoder_reports_correct_what_no_event_said(store: StateStore) -> None:
    engine = BridgeEngine(store)
    (closed, report) = feed(engine, BeltEvent("encoder", 0, 5, 7, closed=True, moving=True, latched=False))
    assert (closed.kind, closed.interlock_closed) == (DeviceEventKind.INTERLOCK, True)
    assert (report.kind, report.seq) == (DeviceEventKind.ENCODER, 0)
    assert engine.belt_moving is True
    # A controller that starts with an open door and a pressed button sends no event about it.
    _, opened, pressed, _ = feed(engine, BeltEvent("encoder", 0, 5, 8, closed=False, moving=False, latched=True))
    assert opened.interlock_closed is False
    assert (pressed.kind, pressed.estop_pressed) == (DeviceEventKind.ESTOP, True)
    assert engine.estop
    assert len(feed(engine, BeltEvent("encoder", 0, 6, 8, closed=False, moving=False, latched=True))) == 1


def test_a_bag_is_in_the_beam_until_its_end_has_passed(store: StateStore) -> None:
    belt = Controller()
    engine = BridgeEngine(store, scan_tail_counts=100)
    assert engine.in_beam == ""
    entry, _ = feed(engine, belt.entry(0), belt.exit(500))
    feed(engine, belt.encoder(599))
    assert engine.in_beam == BridgeEngine(store, scan_tail_counts=100).in_beam == entry.bag_id
    feed(engine, belt.encoder(600))
    assert engine.in_beam == ""


def test_the_newest_state_of_a_device_is_remembered_however_many_bags_came_since(store: StateStore) -> None:
    belt = Controller()
    engine = BridgeEngine(store)
    tube = DeviceEvent(kind=DeviceEventKind.DEVICE_STATE, device="tube", state="on", beam_on=True)
    old = engine.on_state(tube, remember=True)
    newest = engine.on_state(tube, remember=True)
    for number in range(RECENT_EVENTS):
        feed(engine, belt.entry(number), belt.exit(number))
    kept = engine.events_since(0)
    assert newest in kept
    assert old not in kept
    assert [event.seq for event in kept] == sorted(event.seq for event in kept)
    # A restarted belt controller makes the belt's events worthless, not those of others.
    feed(engine, Controller(boot=8).entry(1))
    assert newest in engine.events_since(0)
