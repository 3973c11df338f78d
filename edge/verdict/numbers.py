"""What the verdict service tells the metrics: each verdict, and once a tick the state of journal and calibration."""

from __future__ import annotations

from typing import Final, get_args

from calibration.bundle import State
from edge.loop import Loop
from edge.messages import LaneState, Verdict
from edge.metrics.sheet import Histogram
from edge.metrics.table import LATENCY_BOUNDS_S
from edge.verdict.actions import Now
from edge.verdict.calibration_state import CalibrationState
from edge.verdict.recorder import Recorder

#: What a bag showed about tube and masks holds for about so long, s.
DRIFT_KEPT_S: Final = 900.0
LANE_STATES: Final = get_args(LaneState.model_fields["state"].annotation)
CALIBRATION_STATES: Final = get_args(State)


class Numbers:
    """Writes into the counters, gauges and histograms of ``loop``."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._latency = loop.histograms["latency_s"] = Histogram(LATENCY_BOUNDS_S)
        self._faulty = False

    def verdict(self, verdict: Verdict) -> None:
        """One verdict that is journaled and published."""
        count = self._loop.count
        if not verdict.final:
            count("supplements")
            return
        count(verdict.decision.value.lower())
        if verdict.reason is not None:
            count(f"unknown.{verdict.reason.value}")
        if verdict.latency_ms is not None:
            self._latency.add(verdict.latency_ms / 1e3)
        if verdict.drift is not None:
            self._loop.gauge("drift_mask_shift_um", verdict.drift.mask_shift_um, DRIFT_KEPT_S)
            for name, scale in zip(("low", "high"), verdict.air_scale, strict=True):
                self._loop.gauge(f"air_scale.{name}", scale, DRIFT_KEPT_S)

    def tick(self, state: LaneState, recorder: Recorder, calibration: CalibrationState, now: Now) -> None:
        """How things stand now."""
        if recorder.fault and not self._faulty:
            self._loop.count("journal_faults")
        self._faulty = bool(recorder.fault)
        gauge = self._loop.gauge
        gauge("journal_fault", self._faulty)
        gauge("journal_waiting", recorder.waiting)
        for name in LANE_STATES:
            gauge(f"lane_state.{name}", name == state.state)
        for name in CALIBRATION_STATES:
            gauge(f"calibration_state.{name}", name == calibration.state)
        gauge("calibration_due", bool(calibration.due))
        if calibration.created_ns:
            gauge("calibration_age_s", (now.wall - calibration.created_ns) / 1e9)
        else:
            self._loop.gauges.pop("calibration_age_s", None)
