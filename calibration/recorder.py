"""Averages of frames while everything stands still."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from calibration.devices import Detector, Frame
from calibration.steps import CalibrationError
from firmware_bridge.scanner import BINS, COLUMNS

F32 = npt.NDArray[np.float32]

#: A drain ends after this many frames: the source is then faster than the reader, which is a fault of its own. After
#: as many frames that look old, a detector's clock that was put back is believed again.
_MAX_DRAIN = 20_000
#: Pause between two looks at the stream while nobody wants its frames, s.
_IDLE_S = 0.02


class Average(NamedTuple):
    """``mean`` counts per frame and ``scatter`` Σ(x − mean)² over the frames: (2, rows, columns) float32 each."""

    mean: F32
    scatter: F32
    frames: int


class Recorder:
    """Takes frames from ``detector`` for the steps of the routine; counts what it took."""

    def __init__(self, detector: Detector, rows: int, timeout_s: float) -> None:
        self._detector = detector
        self._shape = (len(BINS), rows, COLUMNS)
        self._timeout_s = timeout_s
        self._queued: list[Frame] = []
        self.frames = 0
        #: Host minus detector clock at the quickest arrival so far: what a frame needs when nothing holds it up.
        self._lag_ns: int | None = None
        self._fresh_ns = 0
        self._stale = 0

    def drain(self) -> None:
        """Forget every frame that was exposed before now: those that have arrived, and those still on their way.

        On a busy machine the stream's buffers may hold frames of a second ago, from before the beam was switched.
        """
        self._queued.clear()
        self._fresh_ns, self._stale = time.monotonic_ns(), 0
        drained = 0
        while drained < _MAX_DRAIN and (late := self._detector.receive(0.0)):
            drained += len(late)
            # A machine that is busier still never catches up: the first frame of after is where to go on.
            self._queued = [frame for frame in late if frame.t_ns and not self._old(frame)]
            if self._queued:
                return

    @contextmanager
    def idle(self) -> Iterator[None]:
        """Drop the frames that arrive while the caller waits for another device: the stream's buffer must not fill."""
        done = threading.Event()

        def drop() -> None:
            while not done.wait(_IDLE_S):
                self._detector.receive(0.0)

        thread = threading.Thread(target=drop, name="calibration-idle")
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def stream(self, step: str) -> Iterator[Frame]:
        """Frames as they come, for ever; :class:`CalibrationError` when none comes in time."""
        while True:
            if not self._queued:
                self._queued.extend(self._detector.receive(self._timeout_s))
            if not self._queued:
                raise CalibrationError(
                    step,
                    f"no frame from the detector for {self._timeout_s:g} s",
                    "Check detector power, network cable and [detector] host and port",
                )
            frame = self._queued.pop(0)
            if self._old(frame):
                continue
            if frame.counts.shape != self._shape:
                raise CalibrationError(
                    step,
                    f"frames are {frame.counts.shape}, the configuration says {self._shape} (bins, rows, columns)",
                    "Set scanner.native_rows and scanner.row_binning as on the detector",
                )
            self.frames += 1
            yield frame

    def _old(self, frame: Frame) -> bool:
        """Whether a frame was exposed before the stream was drained."""
        if not frame.t_ns:
            return False
        lag = time.monotonic_ns() - frame.t_ns
        if self._stale >= _MAX_DRAIN or self._lag_ns is None or lag < self._lag_ns:
            self._lag_ns = lag
        old = frame.t_ns + self._lag_ns < self._fresh_ns
        self._stale += old
        return old

    def average(self, step: str, frames: int, settle: int, tick: Callable[[int], None] | None = None) -> Average:
        """Mean of ``frames`` new frames, after letting ``settle`` pass by: they may have begun before the last move."""
        self.drain()
        stream = self.stream(step)
        for _ in range(settle):
            next(stream)
        total = np.zeros(self._shape, np.uint32)
        squares = np.zeros(self._shape, np.float32)
        for n in range(frames):
            counts = next(stream).counts
            total += counts
            squares += np.square(counts, dtype=np.float32)
            if tick is not None:
                tick(n + 1)
        mean = (total / np.float64(frames)).astype(np.float32)
        scatter = np.maximum(squares - np.float32(frames) * mean**2, 0)
        return Average(mean, scatter, frames)
