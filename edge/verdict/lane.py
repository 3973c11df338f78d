"""What the heartbeat says about the lane; the first thing that is wrong names itself."""

from __future__ import annotations

from edge.messages import LaneState
from edge.verdict.belt import NEEDED, BeltState
from edge.verdict.calibration_state import CalibrationState
from edge.verdict.engine import BagLedger
from edge.verdict.feed import Feed
from edge.verdict.recorder import Recorder

#: A bridge that has not answered for so long is gone.
BRIDGE_SILENT_S = 4.0


def lane_state(
    ledger: BagLedger, recorder: Recorder, calibration: CalibrationState, feed: Feed, bridge_silence_s: float | None
) -> LaneState:
    """The heartbeat. ``bridge_silence_s``: since the bridge's last answer; None before the first one."""
    fault = _fault(ledger, recorder, bridge_silence_s)
    if fault:
        state, detail = "FAULT", fault
    elif bridge_silence_s is None:
        state, detail = "STARTING", "waiting for the bridge"
    elif calibration.state != "CALIBRATED":
        state, detail = "DEGRADED", f"calibration {calibration.state}: no bag is cleared; run 'darklane calibrate'"
    elif ledger.belt.beam_off:
        state, detail = "DEGRADED", f"{ledger.belt.beam_off}; switch it on with 'darklane device beam-on'"
    elif ledger.belt.lost:
        state, detail = "DEGRADED", f"lost: {', '.join(sorted(ledger.belt.lost))}"
    else:
        state, detail = ("SCANNING" if ledger.open else "READY"), calibration.due
    return LaneState.model_validate(
        {
            "state": state,
            "detail": detail,
            "calibration_id": calibration.id,
            "calibration_state": calibration.state,
            "bags_in_flight": len(ledger.open),
            "verdicts": recorder.finals,
            "dropped": feed.dropped,
        }
    )


def _fault(ledger: BagLedger, recorder: Recorder, bridge_silence_s: float | None) -> str:
    if recorder.fault:
        return recorder.fault
    if bridge_silence_s is not None and bridge_silence_s > BRIDGE_SILENT_S:
        return f"the bridge has been silent for {bridge_silence_s:.0f} s"
    return _device_fault(ledger.belt)


def _device_fault(belt: BeltState) -> str:
    if belt.interlock_open:
        return "the belt interlock is open"
    if belt.estop:
        return "the emergency stop is in force; release the button, then 'darklane device reset-estop'"
    for device, name in NEEDED.items():
        if device in belt.lost:
            return f"{name} lost: {belt.lost[device]}"
        if device in belt.faults:
            return f"{name}: {belt.faults[device]}"
    return ""
