"""The state of the calibration as the heartbeat tells it: every one of the four, and going back."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from calibration.bundle import activate
from edge.config import Config, Lane
from edge.verdict.actions import Now
from edge.verdict.calibration_state import PERIOD_NS, CalibrationState
from tests.calibration.synthetic import SCANNER, bundle

HOUR = 3_600_000_000_000
CREATED = 1_800_000_000_000_000_000


class Watch:
    """A state that is looked at once every period."""

    def __init__(self, tmp_path: Path, **scanner: object) -> None:
        config = Config(lane=Lane(state_dir=tmp_path), scanner=SCANNER.model_copy(update=scanner))
        self.state = CalibrationState(config)
        self.mono = 0

    def at(self, hours: float) -> tuple[str, str]:
        """State and id so long after the calibration was made."""
        self.mono += PERIOD_NS
        self.state.tick(Now(mono=self.mono, wall=CREATED + round(hours * HOUR)))
        return self.state.state, self.state.id


def test_the_four_states(tmp_path: Path) -> None:
    watch, folder = Watch(tmp_path), tmp_path / "calibration"
    assert watch.at(0) == ("UNCALIBRATED", "")
    made = bundle(CREATED)
    made.save(folder)
    assert watch.at(1) == ("CALIBRATED", made.id)
    assert watch.at(25) == ("EXPIRED", made.id)
    assert Watch(tmp_path, tube_kv=120).at(1) == ("INVALID", made.id)
    (folder / f"{made.id}.h5").write_bytes(b"nothing")
    assert Watch(tmp_path).at(1) == ("INVALID", "")


def test_what_is_activated_shows_at_the_next_look_and_back_again(tmp_path: Path) -> None:
    watch, folder = Watch(tmp_path), tmp_path / "calibration"
    old = bundle(CREATED)
    new = dataclasses.replace(old, created_ns=CREATED + HOUR)
    for one in (old, new):
        one.save(folder)
        assert watch.at(2) == ("CALIBRATED", one.id)
    activate(folder, old.id)
    assert watch.at(2) == ("CALIBRATED", old.id)
    assert watch.state.created_ns == CREATED
    # Going back does not make it younger.
    assert watch.at(24.5) == ("EXPIRED", old.id)


def test_a_calibration_from_the_future_does_not_count(tmp_path: Path) -> None:
    bundle(CREATED).save(tmp_path / "calibration")
    assert Watch(tmp_path).at(-1)[0] == "EXPIRED"
