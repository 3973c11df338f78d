"""The record of a calibration run survives whatever ends the process."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from calibration.session import Session, SessionError, SessionRecord, StepRecord, newest

RECORD = SessionRecord(
    id="20260101T000000Z", started_ns=1, scanner_json="{}", steps=[StepRecord(step="dark"), StepRecord(step="pixels")]
)


def begin(tmp_path: Path, name: str = "20260101T000000Z") -> Session:
    return Session.begin(tmp_path, RECORD.model_copy(deep=True, update={"id": name}))


def test_a_passed_step_is_there_after_the_process_is_gone(tmp_path: Path) -> None:
    session = begin(tmp_path)
    good = np.ones((2, 3), np.uint8)
    with session.running("dark"):
        session.passed("dark", {"counts": 1.5}, {"good": good})
    again = newest(tmp_path)
    assert again is not None
    assert again.step("dark").state == "passed"
    assert again.step("dark").values == {"counts": 1.5}
    np.testing.assert_array_equal(again.arrays("dark")["good"], good)
    assert not again.finished


def test_an_interrupted_step_is_pending_and_a_failed_one_says_why(tmp_path: Path) -> None:
    session = begin(tmp_path)
    with pytest.raises(KeyboardInterrupt), session.running("dark"):
        raise KeyboardInterrupt
    assert Session.open(session.folder).step("dark").state == "pending"
    session.failed("dark", "too bright", "close the shutter", {"dark": np.full(3, 9.0)})
    kept = Session.open(session.folder).step("dark")
    assert (kept.state, kept.found, kept.todo) == ("failed", "too bright", "close the shutter")
    # Of no other use than to draw it: the step is not passed.
    assert session.arrays("dark")["dark"][0] == 9.0


def test_the_youngest_readable_session_is_taken_up(tmp_path: Path) -> None:
    begin(tmp_path)
    begin(tmp_path, "20260102T000000Z")
    broken = begin(tmp_path, "20260103T000000Z")
    (broken.folder / "session.json").write_text("{", encoding="utf-8")
    found = newest(tmp_path)
    assert found is not None
    assert found.record.id == "20260102T000000Z"
    assert newest(tmp_path / "nowhere") is None


def test_damage_is_named(tmp_path: Path) -> None:
    session = begin(tmp_path)
    session.passed("dark", {}, {"good": np.ones(3)})
    path = session.folder / "dark.npz"
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(SessionError, match=r"dark\.npz.*repeat the step"):
        session.arrays("dark")
    with pytest.raises(SessionError, match=r"pixels\.npz"):
        session.arrays("pixels")
    with pytest.raises(SessionError, match="there are dark, pixels"):
        session.step("curves")
    with pytest.raises(SessionError, match="not a calibration session"):
        Session.open(tmp_path / "nowhere")
