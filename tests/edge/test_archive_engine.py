"""When a bag's file is written, with what, and that its raw data is on disk at every moment before that."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.archive.engine import Archive
from edge.archive.hdf5 import BagWriter
from edge.archive.reader import BagFile
from edge.messages import Decision
from edge.spool import Spool, SpoolWriter
from edge.wire import encode
from tests.edge.archive_bags import BAG, Bag, bag, config


class Clock:
    """Time that tests move."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Lane:
    """A lane's state directory with an archive, a readout's spool writer and a bag."""

    def __init__(self, folder: Path, made: Bag | None = None, **archive: object) -> None:
        self.config = config(folder, archive={"sheets": False, **archive}, verdict={"deadline_s": 60.0})
        self.clock = Clock()
        self.bag = made or bag()
        self.spool = Spool(folder / "spool")
        self.archive = self.start()

    def start(self) -> Archive:
        return Archive(self.config, clock=self.clock)

    def spooled(self, count: int | None = None, *, writer: SpoolWriter | None = None) -> None:
        writer = writer or self.spool.writer(self.bag.bag_id)
        for slab, arrays in list(self.bag.raw_slabs())[:count]:
            writer.append(encode("slab", slab, arrays))
        writer.close()

    def images(self, count: int | None = None) -> None:
        for slab, arrays in list(self.bag.image_slabs())[:count]:
            self.archive.images(slab, arrays)


@pytest.fixture
def lane(tmp_path: Path) -> Lane:
    return Lane(tmp_path)


def test_written_once_all_three_are_there(lane: Lane) -> None:
    lane.images()
    assert not lane.archive.tick()
    lane.archive.verdict(lane.bag.verdict())
    assert not lane.archive.tick()
    lane.spooled()
    (path,) = lane.archive.tick()
    assert not lane.spool.bags()
    with BagFile(path) as file:
        assert file.has_images
        assert file.attributes["phase_sums_complete"]
        assert len(list(file.slabs())) == 3
    assert lane.archive.open_bags == 0


def test_the_spool_is_followed_while_it_grows(lane: Lane) -> None:
    writer = lane.spool.writer(BAG)
    lane.images()
    lane.archive.verdict(lane.bag.verdict())
    for number, (slab, arrays) in enumerate(lane.bag.raw_slabs(), start=1):
        assert not lane.archive.tick()
        record = b"".join(bytes(part) for part in encode("slab", slab, arrays))
        with lane.spool.path(BAG).open("ab") as torn:
            torn.write(record[: number * 10])
        assert not lane.archive.tick()
        writer.close()
        writer = lane.spool.writer(BAG)
        writer.append(encode("slab", slab, arrays))
    (path,) = lane.archive.tick()
    writer.close()
    with BagFile(path) as file:
        assert [slab.index for slab in file.slab_headers] == [0, 1, 2]


@pytest.mark.parametrize("missing", ["verdict", "images", "sums"])
def test_what_does_not_come_is_left_out_after_a_while(lane: Lane, missing: str) -> None:
    if missing != "images":
        lane.images()
    if missing != "verdict":
        lane.archive.verdict(lane.bag.verdict(Decision.UNKNOWN))
    if missing != "sums":
        lane.spooled()
    assert not lane.archive.tick()
    lane.clock.now += 59.0
    assert not lane.archive.tick()
    lane.clock.now += 2.0
    (path,) = lane.archive.tick()
    with BagFile(path) as file:
        assert (file.verdict is None) == (missing == "verdict")
        assert file.has_images == (missing != "images")
        assert file.has_sums == (missing != "sums")


def test_a_verdict_alone_gives_a_file(lane: Lane) -> None:
    lane.archive.verdict(lane.bag.verdict(Decision.UNKNOWN))
    lane.clock.now += 61.0
    (path,) = lane.archive.tick()
    with BagFile(path) as file:
        assert file.geometry is None
        assert file.attributes["reason"] == "Timeout"


def test_a_full_disk_keeps_the_raw_data(lane: Lane, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> None:
        raise OSError(28, "No space left on device")

    lane.images()
    lane.spooled()
    lane.archive.verdict(lane.bag.verdict())
    with monkeypatch.context() as patch:
        patch.setattr(BagWriter, "finish", refuse)
        assert not lane.archive.tick()
    assert lane.archive.counters["failed_bags"] == 1
    assert lane.spool.bags() == [BAG]
    assert not list(lane.archive.folder.iterdir())

    # After the disk was cleared and the service restarted, the bag is taken from the spool.
    again = lane.start()
    again.verdict(lane.bag.verdict())
    assert not again.tick()
    lane.clock.now += 61.0
    (path,) = again.tick()
    with BagFile(path) as file:
        assert file.attributes["phase_sums_complete"]
    assert not lane.spool.bags()


def test_a_killed_archive_loses_no_raw_data(lane: Lane) -> None:
    lane.images(1)
    lane.spooled(1)
    lane.archive.tick()
    assert list(lane.archive.folder.glob("*.part"))
    again = lane.start()
    assert not list(again.folder.glob("*.part"))
    lane.archive = again
    lane.spooled()
    lane.images()
    again.verdict(lane.bag.verdict())
    (path,) = again.tick()
    with BagFile(path) as file:
        assert file.attributes["phase_sums_complete"], "the slab that was spooled twice counts once"
        assert [slab.index for slab in file.slab_headers] == [0, 1, 2]


def test_stopping_writes_judged_bags_and_leaves_the_others_in_the_spool(tmp_path: Path) -> None:
    lane = Lane(tmp_path)
    lane.images()
    lane.spooled(2)
    lane.archive.verdict(lane.bag.verdict())
    lane.bag = bag(bag_id="bag-0002")
    lane.images()
    lane.spooled()
    lane.archive.tick()
    (path,) = lane.archive.close()
    assert path.stem == BAG
    assert lane.spool.bags() == ["bag-0002"]
    assert not list(lane.archive.folder.glob("*.part"))


def test_late_messages_of_a_written_bag(lane: Lane) -> None:
    lane.archive.verdict(lane.bag.verdict(Decision.UNKNOWN))
    lane.clock.now += 61.0
    (path,) = lane.archive.tick()
    lane.images()
    assert lane.archive.counters["late_slabs"] == 3
    supplement = lane.bag.verdict(final=False, supersedes=7)
    lane.archive.verdict(supplement)
    lane.archive.verdict(supplement)
    lane.archive.verdict(lane.bag.verdict(Decision.UNKNOWN, seq=9, boot_id="after a restart"))
    with BagFile(path) as file:
        assert file.verdict is not None
        assert file.verdict.decision is Decision.UNKNOWN
        assert file.supplements == [supplement]
    assert lane.archive.open_bags == 0


def test_memory_of_bags_is_bounded(lane: Lane) -> None:
    for number in range(40):
        lane.bag = bag(rows=8, columns=8, bag_id=f"bag-{number:04d}")
        lane.images()
        lane.clock.now += 0.1
        lane.archive.tick()
    assert lane.archive.open_bags == 16
    assert (lane.archive.folder / "bag-0000.h5").is_file()


def test_a_foreign_slab_is_left_out(lane: Lane) -> None:
    (first, arrays), (second, more), *_ = lane.bag.image_slabs()
    lane.archive.images(first, arrays)
    lane.archive.images(second.model_copy(update={"origin_um": 1.0}), more)
    assert lane.archive.counters["bad_slabs"] == 1
    assert lane.archive.open_bags == 1


def test_sheets_are_drawn_and_a_failing_one_costs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lane = Lane(tmp_path, sheets=True)
    lane.images()
    lane.spooled()
    lane.archive.verdict(lane.bag.verdict())
    (path,) = lane.archive.tick()
    assert path.with_suffix(".png").is_file()

    def fail(path: Path) -> None:
        raise MemoryError("no room for a picture")

    monkeypatch.setattr("edge.archive.derived.write_sheet", fail)
    lane.bag = bag(bag_id="bag-0002")
    lane.images()
    lane.spooled()
    lane.archive.verdict(lane.bag.verdict())
    assert lane.archive.tick()
    assert lane.archive.counters["failed_sheets"] == 1
