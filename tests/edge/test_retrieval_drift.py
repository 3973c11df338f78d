"""Drift between calibration and bag: small drift is corrected and told, gross drift expires the calibration."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from calibration.bundle import Bundle
from edge.config import Config, Lane
from edge.messages import Arrays, Fault, ImageSlab, Slab
from edge.retrieval.engine import RetrievalEngine
from firmware_bridge.scanner import COLUMNS, GROUPS
from tests.calibration.synthetic import AIR, SCANNER, X0_UM, bundle, pixels
from tests.edge.test_retrieval import LEAD_COLUMNS, NOW, PLASTIC, make_slab

WIDE = 40
EXPOSURE = 300.0


@pytest.fixture
def made(tmp_path: Path) -> Bundle:
    calibrated = bundle(NOW)
    calibrated.save(tmp_path / "calibration")
    return calibrated


def engine(tmp_path: Path, **limits: object) -> RetrievalEngine:
    config = Config(lane=Lane(state_dir=tmp_path), scanner=SCANNER)
    table = config.calibration.model_copy(update=limits)
    return RetrievalEngine(config.model_copy(update={"calibration": table}))


def drifted_slab(made: Bundle, shift_um: float, output: float, *, trail: int = 0, trail_output: float = 1.0,
                 trail_shift_um: float = 0.0, **fields: object) -> tuple[Slab, Arrays]:  # fmt: skip
    """One slab of air, plastic, and ``trail`` columns of air, seen through a mask moved by ``shift_um``."""
    slab, arrays = make_slab(made, columns=WIDE, exposure=EXPOSURE)
    sums = np.empty_like(arrays["phase_sums"])
    for j in range(WIDE):
        behind = j >= WIDE - trail
        sample = AIR if j < LEAD_COLUMNS or behind else PLASTIC
        # A curve that moves to +x is a mask that moves to -x.
        seen = pixels(X0_UM - shift_um - (trail_shift_um if behind else 0.0), sample) * made.good_pixels * EXPOSURE
        seen = seen * output * (trail_output if behind else 1.0)
        for g in range(GROUPS):
            sums[g, ..., j] = seen[..., g::GROUPS].sum(axis=-1)
    if trail:
        fields = {"last": True, "bag_to_um": slab.origin_um + (WIDE - trail - 6) * slab.grid_um, **fields}
    return slab.model_copy(update=fields), arrays | {"phase_sums": sums}


def run(on: RetrievalEngine, given: tuple[Slab, Arrays]) -> tuple[ImageSlab, Arrays]:
    result = on.process(*given)
    assert result is not None
    return result


def bias(images: np.ndarray, channel: int, expected: float, b: int) -> float:
    return float(np.median(images[channel, b, :, LEAD_COLUMNS + 2 :]) - expected)


def test_a_moved_mask_and_a_weaker_tube_leave_no_trace_in_the_bag(tmp_path: Path, made: Bundle) -> None:
    message, out = run(engine(tmp_path), drifted_slab(made, 3.0, 0.9))
    assert message.fault is None
    assert message.air_scale == pytest.approx((0.9, 0.9), rel=5e-3)
    assert message.drift is not None
    assert message.drift.mask_shift_um == pytest.approx(3.0, abs=0.05)
    assert message.drift.corrected
    images = out["images"]
    for b in range(2):
        assert bias(images, 0, PLASTIC.t[b], b) == pytest.approx(0, abs=5e-3)
        assert bias(images, 1, PLASTIC.refraction_um, b) == pytest.approx(0, abs=0.1)
        assert bias(images, 2, PLASTIC.dark_field_um2[b], b) == pytest.approx(0, abs=2.0)
    # The same bag without the correction is off, so the test above can fail.
    message, out = run(engine(tmp_path, correct_drift=False), drifted_slab(made, 3.0, 0.9))
    assert message.drift is not None
    assert not message.drift.corrected
    assert bias(out["images"], 1, PLASTIC.refraction_um, 0) == pytest.approx(3.0, abs=0.2)


def test_a_new_calibration_is_asked_for_before_it_is_forced(tmp_path: Path, made: Bundle) -> None:
    for shift_um, output, due in ((0.5, 0.99, False), (4.0, 1.0, True), (0.0, 0.85, True)):
        message, _ = run(engine(tmp_path), drifted_slab(made, shift_um, output))
        assert message.drift is not None
        assert message.drift.recalibrate is due, (shift_um, output)


@pytest.mark.parametrize(("shift_um", "output"), [(7.0, 1.0), (-7.0, 1.0), (0.0, 0.75), (0.0, 1.25)])
def test_gross_drift_expires_the_calibration(tmp_path: Path, made: Bundle, shift_um: float, output: float) -> None:
    message, _ = run(engine(tmp_path), drifted_slab(made, shift_um, output))
    assert message.fault is Fault.CALIBRATION_EXPIRED


def test_what_changes_while_the_bag_is_scanned_is_noticed_behind_it(tmp_path: Path, made: Bundle) -> None:
    message, _ = run(engine(tmp_path), drifted_slab(made, 1.0, 0.95, trail=16))
    assert message.fault is None
    for change in ({"trail_output": 0.95}, {"trail_shift_um": 2.0}):
        message, _ = run(engine(tmp_path), drifted_slab(made, 1.0, 0.95, trail=16, **change))
        assert message.fault is Fault.CALIBRATION_EXPIRED, change


def test_too_little_air_behind_the_bag_is_no_fault(tmp_path: Path, made: Bundle) -> None:
    message, _ = run(engine(tmp_path), drifted_slab(made, 0.0, 1.0, trail=16, bag_to_um=1e9))
    assert message.fault is None
    assert COLUMNS % GROUPS == 0
