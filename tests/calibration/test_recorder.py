"""Frames that a busy machine holds up are not taken for those of after the beam was switched."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np

from calibration import recorder
from calibration.recorder import Recorder
from firmware_bridge.scanner import COLUMNS
from tests.calibration.scripted import Frame

ROWS, OFFSET_NS = 2, 5_000_000_000_000


class HeldUp:
    """A detector whose first frames after a drain are from before it; its clock has another zero."""

    def __init__(self, held: int, clock_back_ns: int = 0) -> None:
        self.held = held
        self.late_by_ns = 0
        self.clock_back_ns = clock_back_ns
        self.number = 0
        self.endless = False

    def receive(self, timeout_s: float) -> list[Frame]:
        if timeout_s == 0 and not self.endless:
            # What is still in the kernel's buffer does not show here.
            return []
        self.number += 1
        old = self.late_by_ns > 0 and self.held > 0
        self.held -= old
        counts = np.full((2, ROWS, COLUMNS), 7 if old else 3, np.uint16)
        t_ns = time.monotonic_ns() + OFFSET_NS - (self.late_by_ns if old else 0) - self.clock_back_ns
        return [replace(Frame(self.number, 0, 0, counts), t_ns=t_ns)]


def test_held_up_frames_are_dropped() -> None:
    detector = HeldUp(held=50)
    taking = Recorder(detector, ROWS, 1.0)
    assert taking.average("dark", 3, 0).mean.max() == 3
    detector.late_by_ns = 900_000_000
    average = taking.average("beam", 4, 2)
    assert average.mean.max() == 3
    assert detector.held == 0
    assert taking.frames == 3 + 4 + 2


def test_a_machine_that_never_catches_up_goes_on_with_the_first_frame_of_after() -> None:
    detector = HeldUp(held=50)
    taking = Recorder(detector, ROWS, 1.0)
    taking.average("dark", 3, 0)
    detector.late_by_ns, detector.endless = 900_000_000, True
    assert taking.average("beam", 4, 2).mean.max() == 3
    assert detector.number < 100


def test_a_detector_whose_clock_was_put_back_is_believed_again() -> None:
    detector = HeldUp(held=0)
    taking = Recorder(detector, ROWS, 1.0)
    taking.average("dark", 3, 0)
    detector.clock_back_ns = 3_600_000_000_000
    assert taking.average("beam", 4, 0).frames == 4
    assert detector.number < recorder._MAX_DRAIN + 20
