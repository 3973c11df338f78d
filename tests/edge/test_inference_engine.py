"""The inference engine: image slabs to one assessment per bag, whatever happens."""

from __future__ import annotations

import numpy as np
import pytest

from edge.inference.detector import Findings, Geometry, ModelIdentity, Tile
from edge.inference.engine import InferenceEngine
from edge.inference.examination import MaterialDetector
from edge.messages import Arrays, Assessment, Fault
from kernels.types import Flag
from tests.edge.inference_scene import MODEL, Slab, images, slabs_of

CLOTH = Slab("nylon_textile", 0.04, (20, 20, 140, 180))
PLACE = (50, 60, 100, 120)


def engine(threshold: float | None = None) -> InferenceEngine:
    return InferenceEngine(MaterialDetector(MODEL, min_area_mm2=60.0, threshold=threshold))


def assess(of: InferenceEngine, arrays: Arrays, size: int = 64, **fields: object) -> Assessment:
    results = [of.handle(slab, part) for slab, part in slabs_of(arrays, size, **fields)]
    assert results[:-1] == [None] * (len(results) - 1)
    assert results[-1] is not None
    return results[-1]


def test_an_explosive_is_found_where_it_is() -> None:
    result = assess(engine(), images((CLOTH, Slab("Semtex1A", 0.6, PLACE))))
    assert result.fault is None
    assert result.score >= result.threshold == MODEL.threshold
    found = result.objects[0]
    assert found.category == "explosive"
    assert found.probability == result.score
    assert found.candidates[0].material == "Semtex1A"
    assert found.candidates[0].threat
    np.testing.assert_allclose(found.box, PLACE, atol=8)
    rows, columns = np.array(found.polygon).T
    assert found.box[0] <= rows.min() < rows.max() <= found.box[2]
    assert found.box[1] <= columns.min() < columns.max() <= found.box[3]
    assert 0.7 < found.area_mm2 / (50 * 60 * 0.3 * 0.308) < 1.05
    assert {"R_ab", "R_of", "R_df", "sd R_ab", "sd R_df"} <= set(found.features)
    assert result.model_id == "materials-80kvp"
    assert len(result.model_sha256) == 64
    assert result.inference_runtime == "numpy"
    assert (result.columns, result.rows, result.frames) == (200, 160, 40)
    assert result.retrieval_ms == pytest.approx(8.0)
    assert result.calibration_id == "cal-1"
    assert result.kernel_backend == "host-test"


@pytest.mark.parametrize("material", ["PE", "acrylic", "paper", "Al", "cheese"])
def test_harmless_materials_do_not_alarm(material: str) -> None:
    result = assess(engine(), images((CLOTH, Slab(material, 0.5, PLACE))))
    assert result.score < result.threshold
    assert all(o.category != "explosive" for o in result.objects)


def test_the_cut_into_slabs_does_not_matter() -> None:
    arrays = images((CLOTH, Slab("TSR_AN", 0.5, PLACE)))
    reference = assess(engine(), arrays, 64)
    for size in (1, 37, 200):
        other = assess(engine(), arrays, size)
        assert other.objects == reference.objects
        assert other.score == reference.score


def test_an_empty_belt_scores_zero() -> None:
    result = assess(engine(), images(()))
    assert (result.score, result.objects, result.fault) == (0.0, (), None)


def test_what_is_too_dense_is_reported_as_opaque() -> None:
    result = assess(engine(), images((CLOTH, Slab("Cu", 8.0, PLACE))))
    opaque = [o for o in result.objects if o.category == "opaque"]
    assert len(opaque) == 1
    np.testing.assert_allclose(opaque[0].box, PLACE, atol=4)
    assert opaque[0].probability == 0
    assert result.fault is None


@pytest.mark.parametrize("rows", [(0, 60), (110, 160)])
def test_a_bag_beyond_the_field_is_clipped(rows: tuple[int, int]) -> None:
    result = assess(engine(), images((Slab("nylon_textile", 0.06, (rows[0], 20, rows[1], 180)),)))
    assert result.fault is Fault.CLIPPED_BAG


def test_unusable_pixels_never_reach_the_score() -> None:
    arrays = images((CLOTH, Slab("Semtex1A", 0.6, PLACE)))
    arrays["images"][:, :, :, 10:30] = np.nan
    arrays["flags"][:, :, 10:30] = Flag.BAD_INPUT
    arrays["sigma"][:, 1, 5:9, :] = np.inf
    arrays["flags"][1, 5:9] = Flag.SINGULAR
    arrays["flags"][:, 120:, :] = Flag.BAD_INPUT
    result = assess(engine(), arrays)
    assert result.fault is None
    assert np.isfinite(result.score)
    assert all(np.isfinite(list(o.features.values())).all() for o in result.objects)


def test_a_bag_of_which_little_can_be_used_is_not_judged() -> None:
    arrays = images((CLOTH, Slab("Semtex1A", 0.6, PLACE)))
    arrays["flags"][:, :, 40:] = Flag.BAD_INPUT
    result = assess(engine(), arrays)
    assert (result.score, result.fault) == (0.0, Fault.FAILED_RECON)
    assert "only 20% of the image can be used" in result.detail


def test_pixels_that_are_no_numbers_without_a_flag_are_refused() -> None:
    arrays = images(())
    arrays["images"][2, 0, 7, 64] = np.nan
    slab, part = slabs_of(arrays)[1]
    one = engine()
    assert one.handle(*slabs_of(arrays)[0]) is None
    result = one.handle(slab, part)
    assert result is not None
    assert result.fault is Fault.FAILED_RECON
    assert result.detail == "slab 1: 1 pixel(s) are no numbers, and no flag says why"


def test_slabs_out_of_sequence_end_the_bag_once() -> None:
    slabs = slabs_of(images(()))
    for order in ([1, 2, 3], [0, 2, 3], [0, 1, 1, 3]):
        one = engine()
        results = [one.handle(*slabs[k]) for k in order]
        given = [r for r in results if r is not None]
        assert [r.fault for r in given] == [Fault.SERVICE_RESTART]
        assert given[0].score == 0
        assert one.bags_in_hand == 0


def test_an_ended_bag_can_come_again_from_its_beginning() -> None:
    one = engine()
    slabs = slabs_of(images(()))
    assert one.handle(*slabs[2]) is not None
    results = [one.handle(*slab) for slab in slabs]
    assert results[-1] is not None
    assert results[-1].fault is None


def test_faults_are_forwarded_at_once() -> None:
    one = engine()
    (first, second, *_) = slabs_of(images(()))
    assert one.handle(*first) is None
    ended = second[0].model_copy(update={"fault": Fault.INCOMPLETE_SCAN, "last": True, "lost_frames": 3})
    result = one.handle(ended, second[1])
    assert result is not None
    assert (result.fault, result.lost_frames) == (Fault.INCOMPLETE_SCAN, 3)
    assert one.handle(*second) is None


def test_without_calibration_nothing_is_cleared() -> None:
    result = engine().handle(*slabs_of(images(()), calibration_id="")[0])
    assert result is not None
    assert result.fault is Fault.CALIBRATION_EXPIRED


def test_a_last_slab_without_columns_ends_the_bag() -> None:
    one = engine()
    arrays = images((CLOTH, Slab("Semtex1A", 0.6, PLACE)))
    *_, final = [one.handle(slab.model_copy(update={"last": False}), part) for slab, part in slabs_of(arrays)]
    assert final is None
    empty = {name: array[..., :0] for name, array in arrays.items()}
    last = slabs_of(arrays)[-1][0].model_copy(update={"index": 4, "columns": 0, "last": True})
    result = one.handle(last, empty)
    assert result is not None
    assert result.fault is None
    assert result.score > 0.5


def test_arrays_of_another_size_than_the_header_fail_the_bag() -> None:
    slab, part = slabs_of(images(()))[0]
    result = engine().handle(slab, {**part, "flags": part["flags"][:, :-1]})
    assert result is not None
    assert result.fault is Fault.FAILED_RECON


class BrokenDetector:
    """Fails at the end of every bag."""

    identity = ModelIdentity("broken", "1", "0" * 64, "numpy")
    threshold = 0.5

    def open(self, geometry: Geometry) -> BrokenDetector:
        return self

    def add(self, tile: Tile) -> None:
        pass

    def finish(self) -> Findings:
        raise FloatingPointError("no")


def test_a_failing_detector_fails_the_bag_only() -> None:
    one = InferenceEngine(BrokenDetector())
    for bag in ("bag-1", "bag-2"):
        result = assess(one, images((), rows=8, columns=70), bag_id=bag)
        assert (result.fault, result.bag_id, result.score) == (Fault.FAILED_RECON, bag, 0.0)


def test_the_threshold_can_be_set() -> None:
    arrays = images((CLOTH, Slab("PE", 0.5, PLACE)))
    assert assess(engine(0.0), arrays).objects[0].category == "explosive"
    assert assess(engine(1.0), arrays).threshold == 1.0


def test_many_ended_bags_are_forgotten() -> None:
    one = engine()
    slab, part = slabs_of(images((), rows=8, columns=8))[0]
    for k in range(200):
        one.handle(slab.model_copy(update={"bag_id": f"bag-{k}"}), part)
    assert len(one._bags) <= InferenceEngine.REMEMBERED + 1
