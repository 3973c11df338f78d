"""The retrieval engine on synthetic slabs: values, air scale, calibration rules, faults."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from calibration.bundle import Bundle
from edge.config import Calibration, Config, Lane
from edge.config import Retrieval as RetrievalTable
from edge.messages import Arrays, Fault, ImageSlab, Slab
from edge.retrieval.engine import RetrievalEngine
from firmware_bridge.scanner import COLUMNS, GROUPS
from tests.calibration.synthetic import AIR, SCANNER, X0_UM, Sample, bundle, pixels

NOW = 1_700_000_000_000_000_000
LEAD_COLUMNS = 20
FRAMES = 3.0
PLASTIC = Sample(t=(0.70, 0.78), refraction_um=1.5, dark_field_um2=(120.0, 40.0))


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config(lane=Lane(state_dir=tmp_path), scanner=SCANNER)


@pytest.fixture
def calibrated(config: Config) -> Bundle:
    made = bundle(NOW)
    made.save(config.state_dir / "calibration")
    return made


def make_slab(
    made: Bundle | None,
    index: int = 0,
    *,
    sample: Sample = PLASTIC,
    columns: int = 40,
    exposure: float = FRAMES,
    output: tuple[float, float] = (1.0, 1.0),
    seed: int | None = None,
    **fields: Any,
) -> tuple[Slab, Arrays]:
    """Air up to the leading edge, ``sample`` after it; Poisson counts with a seed, their mean without."""
    h = SCANNER.object_grid_um
    column0 = index * columns
    good = np.ones((2, SCANNER.rows, COLUMNS)) if made is None else made.good_pixels
    sums = np.empty((GROUPS, 2, SCANNER.rows, columns), np.float32)
    rng = None if seed is None else np.random.default_rng(seed)
    for j in range(columns):
        seen = pixels(X0_UM, AIR if column0 + j < LEAD_COLUMNS else sample) * good * exposure
        seen *= np.asarray(output)[:, None, None]
        seen = rng.poisson(seen).astype(float) if rng is not None else seen
        for g in range(GROUPS):
            sums[g, ..., j] = seen[..., g::GROUPS].sum(axis=-1)
    # Whole frames: every weight is 0 or 1, so that the sums are Poisson.
    weights = np.full((COLUMNS, columns), exposure, np.float32)
    slab = Slab.model_validate(
        {
            "bag_id": "bag-1",
            "scan_id": "scan-1",
            "index": index,
            "column0": column0,
            "columns": columns,
            "rows": SCANNER.rows,
            "grid_um": h,
            "origin_um": 1e6,
            "bag_from_um": 1e6 + LEAD_COLUMNS * h,
            "frames": 100 * (index + 1),
            "first_frame_t_ns": NOW + 60_000_000_000,
            "last_frame_t_ns": NOW + 70_000_000_000,
            "calibration_id": made.id if made else "",
        }
        | fields
    )
    return slab, {"phase_sums": sums, "weights": weights, "weights_sq": weights.copy()}


def run(engine: RetrievalEngine, slab: Slab, arrays: Arrays) -> tuple[ImageSlab, Arrays]:
    output = engine.process(slab, arrays)
    assert output is not None
    return output


def close(out: Arrays, b: int, t: float, columns: slice) -> None:
    seen = np.asarray(out["images"][0, b, :, columns], np.float64)
    np.testing.assert_allclose(seen, t, rtol=5e-3)


def test_expected_counts_return_the_inputs(config: Config, calibrated: Bundle) -> None:
    slab, arrays = make_slab(calibrated, exposure=300.0)
    message, out = run(RetrievalEngine(config), slab, arrays)
    assert message.fault is None
    assert (message.calibration_id, message.calibration_created_ns) == (calibrated.id, NOW)
    assert (message.columns, message.rows, message.index) == (40, SCANNER.rows, 0)
    assert message.row_pitch_um == pytest.approx(SCANNER.row_pitch_um)
    assert message.kernel_backend
    assert message.air_scale == pytest.approx((1.0, 1.0), abs=1e-4)
    assert set(out) == set(ImageSlab.ARRAYS)
    images = out["images"]
    assert images.dtype == np.float32
    air, bag = images[..., :LEAD_COLUMNS], images[..., LEAD_COLUMNS:]
    np.testing.assert_allclose(air[0], 1.0, atol=2e-3)
    np.testing.assert_allclose(air[1], 0.0, atol=0.05)
    np.testing.assert_allclose(air[2], 0.0, atol=1.0)
    for b in range(2):
        np.testing.assert_allclose(bag[0, b], PLASTIC.t[b], rtol=5e-3)
        np.testing.assert_allclose(bag[1, b], PLASTIC.refraction_um, atol=0.05)
        np.testing.assert_allclose(bag[2, b], PLASTIC.dark_field_um2[b], atol=2.0)
        np.testing.assert_allclose(bag[3, b], PLASTIC.o[b], rtol=5e-3)


@pytest.mark.parametrize("model", ["map", "full", "paper"])
def test_poisson_counts_are_recovered_within_noise(config: Config, calibrated: Bundle, model: str) -> None:
    table = RetrievalTable.model_validate({"model": model})
    config = config.model_copy(update={"retrieval": table})
    slab, arrays = make_slab(calibrated, exposure=30.0, seed=3)
    message, out = run(RetrievalEngine(config), slab, arrays)
    assert message.fault is None
    assert message.model == model
    bag, sigma = out["images"][0, :, :, LEAD_COLUMNS:], out["sigma"][0, :, :, LEAD_COLUMNS:]
    for b in range(2):
        pull = (bag[b] - PLASTIC.t[b]) / sigma[b]
        assert abs(np.nanmedian(pull)) < 0.5
        assert np.nanmean(np.abs(pull) < 4) > 0.97


def test_tube_output_is_measured_in_the_lead_in_air_and_divided_out(config: Config, calibrated: Bundle) -> None:
    engine = RetrievalEngine(config)
    slab, arrays = make_slab(calibrated, output=(1.03, 0.98), exposure=300.0)
    first, out = run(engine, slab, arrays)
    assert first.air_scale == pytest.approx((1.03, 0.98), rel=1e-3)
    close(out, 0, PLASTIC.t[0], columns=slice(LEAD_COLUMNS, None))
    # The second slab holds no air; it is divided by what the first one saw.
    slab, arrays = make_slab(calibrated, 1, output=(1.03, 0.98), exposure=300.0)
    second, out = run(engine, slab, arrays)
    assert second.air_scale == first.air_scale
    close(out, 1, PLASTIC.t[1], columns=slice(None))


def test_a_tube_far_from_its_calibration_expires_it(config: Config, calibrated: Bundle) -> None:
    assert_gives_up(RetrievalEngine(config), make_slab(calibrated, output=(1.25, 1.25)), Fault.CALIBRATION_EXPIRED)


def test_a_bag_without_lead_in_air_is_incomplete(config: Config, calibrated: Bundle) -> None:
    slab, arrays = make_slab(calibrated, bag_from_um=1e6)
    assert_gives_up(RetrievalEngine(config), (slab, arrays), Fault.INCOMPLETE_SCAN)


def assert_gives_up(engine: RetrievalEngine, given: tuple[Slab, Arrays], fault: Fault) -> None:
    """One last message with the fault, silence for the rest of the bag, and the next bag starts afresh."""
    slab, arrays = given
    message, out = run(engine, slab, arrays)
    assert message.fault is fault
    assert message.last
    assert message.columns == 0
    assert (message.bag_id, message.frames, message.index) == (slab.bag_id, slab.frames, slab.index)
    assert out["images"].shape == (4, 2, slab.rows, 0)
    assert out["sigma"].shape == (4, 2, slab.rows, 0)
    assert out["flags"].shape == (2, slab.rows, 0)
    if not slab.last:
        rest = slab.model_copy(update={"index": slab.index + 1})
        assert engine.process(rest, arrays) is None
        assert engine.process(rest.model_copy(update={"index": slab.index + 2, "last": True}), arrays) is None


def test_no_calibration(config: Config) -> None:
    assert_gives_up(RetrievalEngine(config), make_slab(None), Fault.CALIBRATION_EXPIRED)


@pytest.mark.parametrize("change", ["old", "scanner", "unmasked", "unknown", "damaged", "rows"])
def test_a_calibration_that_does_not_fit(config: Config, calibrated: Bundle, change: str) -> None:
    slab, arrays = make_slab(calibrated)
    if change == "old":
        slab = slab.model_copy(update={"first_frame_t_ns": NOW + 25 * 3_600_000_000_000})
    elif change == "scanner":
        config = config.model_copy(update={"scanner": SCANNER.model_copy(update={"tube_kv": 120})})
    elif change == "unmasked":
        slab = slab.model_copy(update={"calibration_id": ""})
    elif change == "unknown":
        slab = slab.model_copy(update={"calibration_id": "cal-0000000000000000"})
    elif change == "damaged":
        (config.state_dir / "calibration" / f"{calibrated.id}.h5").write_bytes(b"nothing")
    else:
        slab = slab.model_copy(update={"rows": slab.rows - 1})
        arrays = arrays | {"phase_sums": arrays["phase_sums"][:, :, 1:]}
    assert_gives_up(RetrievalEngine(config), (slab, arrays), Fault.CALIBRATION_EXPIRED)


def test_a_new_calibration_is_used_from_the_next_bag_on(config: Config, calibrated: Bundle) -> None:
    engine = RetrievalEngine(config)
    run(engine, *make_slab(calibrated))
    newer = bundle(NOW + 1)
    newer.save(config.state_dir / "calibration")
    same_bag, _ = run(engine, *make_slab(calibrated, 1, last=True))
    assert same_bag.calibration_id == calibrated.id
    next_bag, _ = run(engine, *make_slab(newer, bag_id="bag-2"))
    assert next_bag.calibration_id == newer.id
    begun_before, _ = run(engine, *make_slab(calibrated, bag_id="bag-3"))
    assert begun_before.calibration_id == calibrated.id


def test_expired_at_scan_time_counts_not_at_replay(config: Config, calibrated: Bundle) -> None:
    config = config.model_copy(update={"calibration": Calibration(max_age_h=0.001)})
    slab, arrays = make_slab(calibrated, first_frame_t_ns=NOW + 1)
    assert run(RetrievalEngine(config), slab, arrays)[0].fault is None


@pytest.mark.parametrize("index", [1, 5])
def test_a_bag_whose_beginning_was_missed(config: Config, calibrated: Bundle, index: int) -> None:
    engine = RetrievalEngine(config)
    assert_gives_up(engine, make_slab(calibrated, index), Fault.SERVICE_RESTART)
    assert run(engine, *make_slab(calibrated, bag_id="bag-2"))[0].fault is None


def test_a_gap_and_a_repeat(config: Config, calibrated: Bundle) -> None:
    for second in (2, 0):
        engine = RetrievalEngine(config)
        run(engine, *make_slab(calibrated))
        assert_gives_up(engine, make_slab(calibrated, second), Fault.SERVICE_RESTART)


def test_two_bags_may_interleave(config: Config, calibrated: Bundle) -> None:
    engine = RetrievalEngine(config)
    for index in (0, 1):
        for bag in ("bag-1", "bag-2"):
            message, _ = run(engine, *make_slab(calibrated, index, bag_id=bag, last=index == 1))
            assert (message.bag_id, message.index, message.fault) == (bag, index, None)


def test_fault_of_the_readout_goes_through(config: Config, calibrated: Bundle) -> None:
    engine = RetrievalEngine(config)
    run(engine, *make_slab(calibrated))
    slab, arrays = make_slab(calibrated, 1, fault=Fault.OVERSIZE_BAG, last=True, lost_frames=7)
    assert_gives_up(engine, (slab, arrays), Fault.OVERSIZE_BAG)


def test_an_empty_last_slab_ends_the_bag(config: Config, calibrated: Bundle) -> None:
    engine = RetrievalEngine(config)
    run(engine, *make_slab(calibrated))
    slab, _ = make_slab(calibrated, 1, last=True, bag_to_um=1.02e6)
    slab = slab.model_copy(update={"columns": 0, "column0": 40})
    none = np.zeros((COLUMNS, 0), np.float32)
    arrays: Arrays = {"phase_sums": np.zeros((4, 2, SCANNER.rows, 0), np.float32), "weights": none, "weights_sq": none}
    message, out = run(engine, slab, arrays)
    assert message.fault is None
    assert message.last
    assert message.bag_to_um == 1.02e6
    assert message.calibration_id == calibrated.id
    assert out["images"].shape == (4, 2, SCANNER.rows, 0)


@pytest.mark.parametrize("damage", ["shape", "dtype", "weights", "missing"])
def test_what_cannot_be_computed_fails_one_bag_only(config: Config, calibrated: Bundle, damage: str) -> None:
    engine = RetrievalEngine(config)
    slab, arrays = make_slab(calibrated)
    if damage == "shape":
        arrays["phase_sums"] = arrays["phase_sums"][..., :7]
    elif damage == "dtype":
        arrays["phase_sums"] = arrays["phase_sums"].astype(np.float64)
    elif damage == "weights":
        arrays["weights"] = arrays["weights"][:, :3]
    else:
        del arrays["weights_sq"]
    assert_gives_up(engine, (slab, arrays), Fault.FAILED_RECON)
    assert run(engine, *make_slab(calibrated, bag_id="bag-2"))[0].fault is None


def test_a_dead_row_is_flagged_and_the_rest_retrieved(config: Config, calibrated: Bundle) -> None:
    slab, arrays = make_slab(calibrated)
    arrays["phase_sums"][:, :, 5] = 0
    message, out = run(RetrievalEngine(config), slab, arrays)
    assert message.fault is None
    assert (out["flags"][:, 5] != 0).all()
    assert np.isfinite(out["images"][0][:, :5]).all()


def test_bags_that_never_end_are_forgotten(config: Config, calibrated: Bundle) -> None:
    engine = RetrievalEngine(config)
    for n in range(40):
        run(engine, *make_slab(calibrated, bag_id=f"bag-{n}"))
    assert len(engine._bags) <= 16


def test_warm_up_names_the_backend(config: Config) -> None:
    assert RetrievalEngine(config).warm_up()
