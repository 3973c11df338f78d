"""The policy: what it takes to be CLEAR, and the reason for everything that falls short."""

from __future__ import annotations

import math
from typing import Any

import pytest

from edge.messages import Decision, Fault
from edge.verdict.policy import Limits, judge
from tests.edge.verdict_scene import CONFIG, LIMITS, MM, THREAT, WALL0, S, assessment

LENGTH = 90 * MM
HOUR = 3600 * S


def test_a_whole_clean_calibrated_bag_is_clear() -> None:
    judgement = judge(assessment("A"), LIMITS, LENGTH, WALL0)
    assert (judgement.decision, judgement.reason) == (Decision.CLEAR, None)


def test_an_object_at_the_threshold_is_an_alarm() -> None:
    judgement = judge(assessment("A", score=0.5, objects=(THREAT,)), LIMITS, LENGTH, WALL0)
    assert (judgement.decision, judgement.reason) == (Decision.ALARM, None)


def test_the_configured_threshold_wins_over_the_model_s() -> None:
    strict = Limits.of(CONFIG.model_copy(update={"inference": CONFIG.inference.model_copy(update={"threshold": 0.05})}))
    judgement = judge(assessment("A", objects=(THREAT,)), strict, LENGTH, WALL0)
    assert (judgement.decision, judgement.threshold) == (Decision.ALARM, 0.05)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"fault": Fault.DETECTOR_FAULT}, Fault.DETECTOR_FAULT),
        ({"fault": Fault.CLIPPED_BAG, "score": math.nan}, Fault.CLIPPED_BAG),
        ({"lost_frames": 1}, Fault.INCOMPLETE_SCAN),
        ({"lost_frames": 1, "score": 0.9, "objects": (THREAT,)}, Fault.INCOMPLETE_SCAN),
        ({"frames": 0}, Fault.INCOMPLETE_SCAN),
        ({"columns": 0}, Fault.INCOMPLETE_SCAN),
        ({"columns": 299}, Fault.INCOMPLETE_SCAN),
        ({"rows": 7}, Fault.FAILED_RECON),
        ({"calibration_id": ""}, Fault.CALIBRATION_EXPIRED),
        ({"calibration_created_ns": WALL0 - 25 * HOUR}, Fault.CALIBRATION_EXPIRED),
        ({"calibration_created_ns": WALL0 + HOUR}, Fault.CALIBRATION_EXPIRED),
        ({"air_scale": (1.0, 0.79)}, Fault.CALIBRATION_EXPIRED),
        ({"air_scale": (math.nan, 1.0)}, Fault.FAILED_RECON),
        ({"score": math.nan}, Fault.FAILED_RECON),
        ({"score": -0.1}, Fault.FAILED_RECON),
        ({"score": 1.5, "objects": (THREAT,)}, Fault.FAILED_RECON),
        ({"threshold": math.nan}, Fault.FAILED_RECON),
        ({"score": 0.9}, Fault.FAILED_RECON),
        ({"objects": (THREAT,)}, Fault.FAILED_RECON),
        ({"objects": (THREAT.model_copy(update={"probability": math.inf}),)}, Fault.FAILED_RECON),
    ],
)
def test_whatever_is_in_doubt_is_unknown_with_its_reason(changes: dict[str, Any], reason: Fault) -> None:
    judgement = judge(assessment("A", **changes), LIMITS, LENGTH, WALL0)
    assert (judgement.decision, judgement.reason) == (Decision.UNKNOWN, reason)
    assert judgement.detail
    assert 0 <= judgement.threshold <= 1
