"""Writes the golden file of every message that has none yet; released ones are never written again.

Run ``python -m tests.edge.golden.make`` after adding a message, and commit the new file.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge import spool, wire
from edge.messages import (
    CHANNELS,
    Arrays,
    Assessment,
    BagImage,
    BagNotice,
    CalibrationStatus,
    Candidate,
    CommandReply,
    Decision,
    DetectedObject,
    DeviceCommand,
    DeviceEvent,
    DeviceEventKind,
    DeviceState,
    Drift,
    Fault,
    FeedReply,
    FeedRequest,
    Hello,
    ImageSlab,
    LaneState,
    Message,
    Recall,
    Saliency,
    ServiceStatus,
    ShadowJudgement,
    Slab,
    Verdict,
)

FOLDER = Path(__file__).parent
HEADER = {"seq": 41, "boot_id": "0123456789abcdef", "t_ns": 1_760_000_000_123_456_789, "source": "golden"}
BAG = {"bag_id": "T-17.20251009T085320.00042", "scan_id": "scan-1", "encoder": 123_456}
ROWS, COLUMNS = 3, 2


def name(schema_id: str) -> str:
    """File name of one schema id."""
    return schema_id.replace("/", "-") + ".bin"


def _ramp(*shape: int, dtype: str = "<f4") -> npt.NDArray[np.generic]:
    return (np.arange(np.prod(shape)) * 0.5).reshape(shape).astype(dtype)


def samples() -> list[tuple[Message, Arrays]]:
    """One message of every kind, every field away from its default."""
    heat = Saliency(box=(0, 8, 16, 32), rows=2, columns=3, data="eNpjYGRi/s8AAAIaAQY=")
    shadow = ShadowJudgement(model_id="net-00ff", model_version="2", model_sha256="cd", runtime="onnxruntime-int8",
                             score=0.25, threshold=0.4, detail="why")  # fmt: skip
    thing = DetectedObject(
        box=(10, 20, 40, 60),
        polygon=((10.0, 20.0), (40.0, 20.0), (40.0, 60.5)),
        area_mm2=108.5,
        probability=0.93,
        category="explosive",
        candidates=(Candidate(material="semtex_1h", probability=0.9, threat=True),),
        features={"R_df": 6.5, "R_df_sd": 0.25},
        saliency=heat,
    )
    event = DeviceEvent(
        **HEADER,
        kind=DeviceEventKind.BAG_ENTRY,
        device="belt-2",
        event_seq=7,
        encoder=-5,
        event_t_ns=99,
        bag_id=BAG["bag_id"],
        bag_tag="T/17 ü",
        interlock_closed=True,
        detail="why",
        state="on",
        beam_on=True,
        estop_pressed=False,
        device_t_us=17,
        belt_moving=True,
    )
    device = DeviceState(device="m1_x", present=True, state="moving", detail="why", busy="move",
                         values={"position": -5.25}, facts={"unit": "um"})  # fmt: skip
    slab = {
        "index": 3, "last": True, "fault": Fault.INCOMPLETE_SCAN, "column0": 192, "columns": COLUMNS, "rows": ROWS,
        "grid_um": 300.0, "origin_um": -1.5, "bag_from_um": 6000.25, "bag_to_um": 9e4, "frames": 800, "lost_frames": 2,
        "lost_packets": 5, "first_frame_t_ns": 11, "last_frame_t_ns": 12, "calibration_id": "cal-00ff",
    }  # fmt: skip
    drift = Drift(
        mask_shift_um=0.5, mask_rotation_mrad=-0.25, broadening_um2=(1.5, 2.5), corrected=True, recalibrate=True
    )
    judged = {
        "score": 0.75, "threshold": 0.6, "objects": (thing,), "calibration_id": "cal-00ff", "calibration_created_ns": 8,
        "model_id": "m", "model_version": "1", "model_sha256": "ab", "kernel_backend": "host", "inference_runtime": "r",
        "frames": 800, "lost_frames": 2, "lost_packets": 5, "retrieval_ms": 1.5, "inference_ms": 2.5,
        "air_scale": (0.99, 1.01), "drift": drift, "contributions": {"materials": 0.7}, "saliency": heat,
        "shadow": shadow,
    }  # fmt: skip
    verdict = {
        "decision": Decision.UNKNOWN, "iata": "UCL", "reason": Fault.TIMEOUT, "final": False, "supersedes": 12,
        "bag_tag": "T/17 ü", "bag_id_type": "rfid", "tip": True, "scan_start_t_ns": 1, "scan_stop_t_ns": 2,
        "encoder_window": (100, 900), "deadline_ns": 3, "deadline_encoder": 4, "latency_ms": 250.5, "detail": "why",
    }  # fmt: skip
    judgement = Verdict(**HEADER, **BAG, **judged, **verdict)
    heartbeat = LaneState(**HEADER, state="SCANNING", calibration_id="cal-00ff", calibration_state="CALIBRATED",
                          bags_in_flight=2, verdicts=9, dropped=1, detail="why")  # fmt: skip
    notice = BagNotice(**HEADER, **BAG, bag_tag="T/17 ü", deadline_ns=3, ended=True)
    hello = Hello(**HEADER, lane="lane-1", software="darklane 0.1.0", last_verdict_seq=5, heartbeat_s=2.0)
    status = CalibrationStatus(state="EXPIRED", calibration_id="cal-00ff", created_ns=8, age_h=25.5, detail="why")
    return [
        (event, {}),
        (DeviceCommand(**HEADER, device="bridge", action="clear_line", bag_id="b", encoder_from=1, encoder_to=2,
                       after_seq=3, command_id="c-1", say_accepted=True, target=-5.25, kv=80.0, ma=1.5,
                       lights=(True, False, True), thresholds_ev=(20_000, 40_000), timeout_s=2.5), {}),
        (CommandReply(**HEADER, ok=True, reason="r", events=(event,), devices={"belt": "present"}, command_id="c-1",
                      phase="accepted", states=(device,)), {}),
        (Slab(**HEADER, **BAG, **slab), {"phase_sums": _ramp(4, 2, ROWS, COLUMNS), "weights": _ramp(128, COLUMNS),
                                         "weights_sq": _ramp(128, COLUMNS)}),
        (Recall(**HEADER, **BAG), {}),
        (ImageSlab(**HEADER, **BAG, **slab, row_pitch_um=308.0, calibration_created_ns=8, model="full",
                   kernel_backend="host", air_scale=(0.99, 1.01), drift=drift, retrieval_ms=1.5),
         {"images": _ramp(4, 2, ROWS, COLUMNS), "sigma": _ramp(4, 2, ROWS, COLUMNS),
          "flags": _ramp(2, ROWS, COLUMNS, dtype="<u2")}),
        (Assessment(**HEADER, **BAG, **judged, fault=Fault.FAILED_RECON, detail="why", columns=9, rows=3,
                    first_frame_t_ns=11, last_frame_t_ns=12), {}),
        (judgement, {}),
        (heartbeat, {}),
        (notice, {}),
        (hello, {}),
        (FeedRequest(**HEADER, request_id="r-1", ask="replay", after_seq=3, until_seq=9, limit=17, bag_id="b"), {}),
        (FeedReply(**HEADER, request_id="r-1", ok=True, reason="why", hello=hello, lane_state=heartbeat,
                   bags=(notice,), verdicts=(judgement,), last_seq=41, more=True, calibration=status), {}),
        (BagImage(**HEADER, **BAG, request_id="r-1", rows=ROWS, columns=COLUMNS, channels=CHANNELS,
                  pixel_mm=(0.308, 0.3), preview=True), {"image": _ramp(4, 2, ROWS, COLUMNS)}),
        (ServiceStatus(**HEADER, state="fault", rate_hz=119.5, unit="frames", queue=3, lag_ms=8.5,
                       counters={"lost_frames": 2}, detail="why"), {}),
    ]  # fmt: skip


def main() -> None:
    """Write what is missing."""
    for message, arrays in samples():
        path = FOLDER / name(message.schema_id)
        if not path.exists():
            path.write_bytes(spool.pack(wire.encode("golden", message, arrays)))
            print(path)


if __name__ == "__main__":
    main()
