"""The spool: whole slabs come back whatever happens to the end of the file."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge import spool, wire
from edge.messages import Slab
from edge.spool import Spool, SpoolError


def slab(index: int, *, bag_id: str = "bag-1", last: bool = False, columns: int = 3) -> list[bytes]:
    message = Slab(
        bag_id=bag_id,
        index=index,
        last=last,
        column0=index * columns,
        columns=columns,
        rows=2,
        grid_um=300.0,
        origin_um=0.0,
        bag_from_um=6000.0,
    )
    arrays = {
        "phase_sums": np.full((4, 2, 2, columns), index, np.float32),
        "weights": np.ones((128, columns), np.float32),
        "weights_sq": np.ones((128, columns), np.float32),
    }
    return [bytes(frame) for frame in wire.encode("slab", message, arrays)]


def test_slabs_come_back_in_order_with_their_arrays(tmp_path: Path) -> None:
    store = Spool(tmp_path / "spool")
    writer = store.writer("bag-1")
    for index in range(3):
        writer.append(slab(index, last=index == 2))
    writer.close()
    read = list(store.slabs("bag-1"))
    assert [s.index for s, _ in read] == [0, 1, 2]
    assert [float(a["phase_sums"].flat[0]) for _, a in read] == [0.0, 1.0, 2.0]
    last = store.last_slab("bag-1")
    assert last is not None
    assert last.last


@given(cut=st.integers(0, 3000), junk=st.binary(max_size=40))
def test_a_torn_tail_costs_only_the_record_it_tore(
    tmp_path_factory: pytest.TempPathFactory, cut: int, junk: bytes
) -> None:
    store = Spool(tmp_path_factory.mktemp("spool"))
    writer = store.writer("bag-1")
    ends = [sum(writer.append(slab(index))) for index in range(3)]
    writer.close()
    whole = store.path("bag-1").read_bytes()
    kept = max(0, len(whole) - cut)
    store.path("bag-1").write_bytes(whole[:kept] + junk)
    expected = sum(end <= kept for end in ends) if kept >= len(spool.MAGIC) else 0
    read = [s.index for s, _ in store.slabs("bag-1")]
    if kept >= len(spool.MAGIC) or not (whole[:kept] + junk).startswith(spool.MAGIC):
        assert read == list(range(expected))
    # A writer that comes back continues after the last whole record.
    again = store.writer("bag-1")
    again.append(slab(expected))
    again.close()
    assert [s.index for s, _ in store.slabs("bag-1")] == list(range(expected + 1))


@given(st.lists(st.binary(max_size=50), max_size=6), st.integers(0, 400), st.integers(1, 255))
def test_a_flipped_bit_never_yields_altered_frames(frames: list[bytes], position: int, mask: int) -> None:
    record = bytearray(spool.pack(frames))
    assert spool.unpack(io.BytesIO(bytes(record))) == frames
    record[position % len(record)] ^= mask
    assert spool.unpack(io.BytesIO(bytes(record))) is None


@given(st.binary(max_size=200))
def test_any_bytes_are_read_without_an_error(data: bytes) -> None:
    spool.unpack(io.BytesIO(data))


@pytest.mark.parametrize("bag_id", ["", "../etc", "a/b", ".hidden", "a\0b", "ü", "x" * 129])
def test_a_bag_id_never_leaves_the_folder(tmp_path: Path, bag_id: str) -> None:
    with pytest.raises(SpoolError, match="bag id"):
        Spool(tmp_path).path(bag_id)


def test_removal_and_the_bound_on_kept_bags(tmp_path: Path) -> None:
    store = Spool(tmp_path)
    for number in range(5):
        writer = store.writer(f"bag-{number}")
        writer.append(slab(0))
        writer.close()
    store.remove("bag-4")
    store.remove("bag-4")
    assert set(store.bags()) == {f"bag-{n}" for n in range(4)}
    removed = store.keep_newest(1, protect=frozenset({"bag-0"}))
    assert len(removed) == 2
    assert "bag-0" in store.bags()
    assert len(store.bags()) == 2
    assert list(store.slabs("bag-unknown")) == []
