"""Outbox, ledger and pixel mask of the readout: nothing is lost between the engine and retrieval."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from edge import wire
from edge.messages import Fault, Slab
from edge.readout.ledger import Ledger, unfinished
from edge.readout.masks import ActiveMask
from edge.readout.outbox import Outbox
from edge.readout.ports import ALL_PIXELS
from edge.readout.window import empty_arrays
from edge.spool import Spool, SpoolWriter
from tests.calibration.synthetic import bundle


class Socket:
    """Takes ``room`` messages, then none."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.taken: list[Slab] = []

    def __call__(self, frames: Sequence[bytes | memoryview]) -> bool:
        if len(self.taken) >= self.room:
            return False
        self.taken.append(wire.decode(frames, Slab)[1])
        return True

    @property
    def order(self) -> list[tuple[str, int]]:
        return [(slab.bag_id, slab.index) for slab in self.taken]


def frames(bag: str, index: int, *, last: bool = False) -> list[bytes | memoryview]:
    slab = Slab(
        bag_id=bag, index=index, last=last, column0=0, columns=0, rows=4, grid_um=300, origin_um=0, bag_from_um=0
    )
    return wire.encode("slab", slab, empty_arrays(4))


def put_bag(outbox: Outbox, bag: str, count: int, *, ends: bool = True) -> None:
    for index in range(count):
        assert (
            outbox.put(bag, frames(bag, index, last=ends and index == count - 1), last=ends and index == count - 1)
            == ""
        )


def test_a_full_queue_delays_slabs_but_keeps_their_order(tmp_path: Path) -> None:
    socket, done = Socket(2), list[str]()
    outbox = Outbox(Spool(tmp_path), socket, done.append)
    put_bag(outbox, "a", 3)
    put_bag(outbox, "b", 2)
    assert socket.order == [("a", 0), ("a", 1)]
    assert len(outbox) == 3
    assert done == []
    assert outbox.bags == {"a", "b"}
    socket.room = 4
    outbox.pump()
    assert done == ["a"]
    socket.room = 99
    outbox.pump()
    assert socket.order == [("a", 0), ("a", 1), ("a", 2), ("b", 0), ("b", 1)]
    assert done == ["a", "b"]
    assert len(outbox) == 0
    outbox.close()
    assert [s.index for s, _ in Spool(tmp_path).slabs("a")] == [0, 1, 2]


def test_every_slab_is_on_disk_before_it_is_sent(tmp_path: Path) -> None:
    store = Spool(tmp_path)
    on_disk: list[int] = []

    def send(_: Sequence[bytes | memoryview]) -> bool:
        on_disk.append(len(list(store.records("a"))))
        return True

    outbox = Outbox(store, send, lambda _: None)
    put_bag(outbox, "a", 4)
    assert on_disk == [1, 2, 3, 4]
    outbox.close()


def test_a_full_disk_is_complained_of_and_the_last_slab_still_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    socket, done = Socket(99), list[str]()
    outbox = Outbox(Spool(tmp_path), socket, done.append)
    put_bag(outbox, "a", 1, ends=False)

    def full(self: SpoolWriter, frames: object) -> tuple[int, int]:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(SpoolWriter, "append", full)
    assert "No space left" in outbox.put("a", frames("a", 1), last=False)
    assert "No space left" in outbox.put("a", frames("a", 2, last=True), last=True)
    assert socket.order == [("a", 0), ("a", 2)]
    assert done == ["a"]
    outbox.close()


def test_a_spool_file_that_vanished_does_not_hold_up_the_others(tmp_path: Path) -> None:
    socket, done = Socket(0), list[str]()
    store = Spool(tmp_path)
    outbox = Outbox(store, socket, done.append)
    put_bag(outbox, "a", 2)
    put_bag(outbox, "b", 1)
    store.remove("a")
    socket.room = 99
    outbox.pump()
    assert socket.order == [("b", 0)]
    assert done == ["a", "b"]
    outbox.close()


def test_a_new_readout_settles_what_the_old_one_left(tmp_path: Path) -> None:
    store = Spool(tmp_path / "spool")
    ledger = Ledger(tmp_path / "readout.json")
    socket = Socket(2)
    outbox = Outbox(store, socket, ledger.finish)
    put_bag(outbox, "sent", 2)
    put_bag(outbox, "waiting", 3)
    put_bag(outbox, "open", 2, ends=False)
    store.writer("begun").close()

    # The process dies here; the next one starts with what is on disk.
    ledger = Ledger(tmp_path / "readout.json")
    assert ledger.finished == ("sent",)
    again, cut = unfinished(store, frozenset(ledger.finished))
    assert again == ["waiting"]
    ((slab, arrays),) = cut
    assert (slab.bag_id, slab.index, slab.last, slab.fault) == ("open", 2, True, Fault.SERVICE_RESTART)
    wire.encode("slab", slab, arrays)
    assert "begun" not in store.bags()
    socket = Socket(99)
    successor = Outbox(store, socket, ledger.finish)
    successor.again("waiting", "again-1")
    assert socket.order == [("waiting", 0), ("waiting", 1), ("waiting", 2)]
    assert Ledger(tmp_path / "readout.json").finished == ("sent", "waiting")
    outbox.close()
    successor.close()


@pytest.mark.parametrize("content", ["", "{}", '{"finished": 3}', "[]"])
def test_a_damaged_ledger_starts_empty(tmp_path: Path, content: str) -> None:
    (tmp_path / "readout.json").write_text(content)
    ledger = Ledger(tmp_path / "readout.json")
    assert ledger.finished == ()
    ledger.finish("a")
    assert Ledger(tmp_path / "readout.json").finished == ("a",)


def test_the_mask_follows_the_active_calibration(tmp_path: Path) -> None:
    made = bundle()
    rows = made.good_pixels.shape[1]
    mask = ActiveMask(tmp_path, rows)
    assert mask() is ALL_PIXELS
    made.save(tmp_path)
    assert mask().calibration_id == made.id
    assert mask() is mask()
    assert ActiveMask(tmp_path, rows + 1)() is ALL_PIXELS
    (tmp_path / "active").write_text("cal-unknown")
    assert mask() is ALL_PIXELS
