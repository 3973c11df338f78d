"""A file whose space is taken beforehand: records in it, damage, and what does not fit."""

from __future__ import annotations

import logging
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from edge.reserve import END, Reserve, pack, unpack
from edge.verdict.spill import Spill
from edge.verdict.waiting import Row

LOG = logging.getLogger("test")


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=5), st.data())
def test_records_are_read_up_to_the_first_damage(bodies: list[bytes], data: st.DataObject) -> None:
    content = b"".join(map(pack, bodies))
    assert unpack(content + END) == (bodies, len(content))
    assert unpack(content + b"\xff" * 20)[0] == bodies
    if content:
        place = data.draw(st.integers(0, len(content) - 1))
        changed = bytearray(content)
        changed[place] ^= data.draw(st.integers(1, 255))
        found, _ = unpack(bytes(changed) + END)
        assert found == bodies[: len(found)]
        assert len(found) < len(bodies)


def test_the_space_is_there_from_the_start_and_is_not_outgrown(tmp_path: Path) -> None:
    file = Reserve(tmp_path / "sub" / "reserve", 100, LOG)
    assert file.read() == b""
    assert not file.write(0, b"too early")
    file.take()
    assert file.read() == bytes(100)
    assert file.write(90, b"0123456789")
    assert not file.write(91, b"0123456789")
    file.take()
    assert file.read()[90:] == b"0123456789"


def test_spilled_rows_come_back_in_order_from_the_file_that_took_them(tmp_path: Path) -> None:
    rows = [Row("bag", {"bag_id": f"N{number}"}) for number in range(6)]
    spill = Spill([tmp_path], size=150)
    spill.take()
    taken = [spill.add(row) for row in rows]
    assert taken == sorted(taken, reverse=True)
    assert True in taken
    assert False in taken
    again = Spill([tmp_path], size=150)
    assert again.read() == [row for row, was in zip(rows, taken, strict=True) if was]
    again.clear()
    assert Spill([tmp_path], size=150).read() == []
    assert again.add(rows[5])
    assert Spill([tmp_path], size=150).read() == [rows[5]]


def test_a_folder_that_cannot_be_made_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    spill = Spill([tmp_path / "file" / "below"])
    spill.take()
    assert not spill.add(Row("bag", {}))
    assert spill.read() == []
