"""Heat as columns arrive is the heat of one pass, and places follow from it as the rule says."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from calibration.signing import KeyStore
from edge import saliency
from edge.inference import fusion
from edge.inference.bundle import load
from edge.inference.discriminator import Posterior
from edge.inference.features import Region
from edge.inference.heat import HeatStream, pooled
from edge.inference.manifest import Fusion, Pooling
from edge.inference.network import Network, open_network
from edge.inference.tiles import Planes
from firmware_bridge.scanner import Scanner
from tests.edge import network_bundle as tiny


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Network:
    content = tiny.graph(seed=3)
    path = tiny.bundle(tmp_path_factory.mktemp("models"), onnx_bytes=content, vectors=tiny.golden(content))
    return open_network(load(path, KeyStore(path.parent / "keys")), "onnxruntime", 1, Scanner())


def image(rows: int, columns: int) -> tiny.Array:
    return np.random.default_rng(5).standard_normal((3, rows, columns)).astype(np.float32)


def streamed(network: Network, planes: tiny.Array, cuts: list[int], tile: int) -> tiny.Array:
    stream = HeatStream(network.runtime, planes.shape[1], tiny.STRIDE, tiny.HALO, tile)
    for a, b in pairwise([0, *sorted(cuts), planes.shape[2]]):
        stream.add(planes[..., a:b])
    return stream.finish()


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 250), st.lists(st.integers(0, 250), max_size=5), st.sampled_from([8, 20, 64, 256]))
def test_tiles_together_are_one_pass_over_the_bag(network: Network, columns: int, cuts: list[int], tile: int) -> None:
    planes = image(29, columns)
    whole = np.zeros((1, 3, 32, -(-columns // 8) * 8), np.float32)
    whole[0, :, :29, :columns] = planes
    expected, _ = network.runtime.run(whole)
    found = streamed(network, planes, [min(c, columns) for c in cuts], tile)
    np.testing.assert_allclose(found, expected[0, 0], atol=2e-6)


def test_memory_of_an_earlier_bag_leaves_no_trace(network: Network) -> None:
    """A bag of fewer rows in the tiles of one with more, which end in the same whole cells."""
    spare: list[tiny.Array] = []
    for rows in (32, 29, 32):
        stream = HeatStream(network.runtime, rows, tiny.STRIDE, tiny.HALO, 64, spare)
        stream.add(image(rows, 300))
        np.testing.assert_allclose(stream.finish(), streamed(network, image(rows, 300), [], 64), atol=2e-6)
        assert len(spare) == 1


@pytest.mark.parametrize(("rows", "columns"), [(32, 700), (29, 700), (29, 41), (29, 30)])
def test_tiles_overlap_in_memory_and_are_what_copies_would_be(rows: int, columns: int) -> None:
    """So many tiles that the memory begins anew; where rows fill up cells, what other planes left there is gone."""
    planes = image(rows, columns)
    whole = np.zeros((1, 3, 32, -(-columns // 8) * 8), np.float32)
    whole[0, :, :rows, :columns] = planes
    ran: list[int] = []

    class Compared:
        name = "compared"

        def run(self, tile: tiny.Array) -> tuple[tiny.Array, tiny.Array]:
            assert tile.flags.c_contiguous
            first = 8 * len(ran)
            np.testing.assert_array_equal(tile, whole[..., first : first + tile.shape[3]])
            ran.append(tile.shape[3])
            return np.zeros((1, 1, 4, tile.shape[3] // 8), np.float32), np.zeros((1, 1), np.float32)

        def close(self) -> None:
            pass

    spare: list[tiny.Array] = []
    for _ in range(2):
        ran.clear()
        stream = HeatStream(Compared(), rows, tiny.STRIDE, tiny.HALO, 8, spare)
        for first in range(0, columns, 13):
            stream.add(planes[..., first : first + 13])
        assert stream.finish().shape == (4, whole.shape[3] // 8)
        assert len(ran) == (2 + (columns - 40) // 8 if columns >= 40 else 1)


def test_a_bag_without_columns_has_no_heat(network: Network) -> None:
    assert HeatStream(network.runtime, 29, 8, 16).finish().shape == (4, 0)


def test_little_is_left_after_the_last_column(network: Network) -> None:
    """All columns but those of the last tile and its halo have been judged before the bag ends."""
    ran: list[int] = []

    class Counted:
        name = "counted"

        def run(self, planes: tiny.Array) -> tuple[tiny.Array, tiny.Array]:
            ran.append(planes.shape[3])
            return network.runtime.run(planes)

        def close(self) -> None:
            pass

    stream = HeatStream(Counted(), 32, tiny.STRIDE, tiny.HALO, 64)
    for _ in range(50):
        stream.add(image(32, 16))
    assert ran == [96] * 12
    stream.finish()
    assert ran[12:] == [2 * tiny.HALO]


def test_pooling_is_a_mean_over_what_lies_inside() -> None:
    heat = np.array([[1.0, 2.0], [3.0, 6.0]], np.float32)
    np.testing.assert_allclose(pooled(heat, Pooling(window=3, scale=2.0, offset=1.0)), np.full((2, 2), 7.0))
    np.testing.assert_array_equal(pooled(heat, Pooling()), heat)


def blocks(rows: int = 8, columns: int = 12) -> Planes:
    good = np.ones((rows, columns), np.bool_)
    empty = np.zeros((6, rows, columns), np.float32)
    return Planes(empty, empty, good, ~good, 2, 2, (0.6, 0.6))


def region(box: tuple[slice, slice], threat: float) -> tuple[Posterior, Region]:
    mask = np.ones((box[0].stop - box[0].start, box[1].stop - box[1].start), np.bool_)
    return Posterior(np.array([threat, 1 - threat]), threat, 0.0), Region(2, box, mask, ())


RULE = Fusion.model_validate(
    {**tiny.FUSION, "heat_weight": 2.0, "material_weight": 0.5, "uncovered": -2.0, "bias": 0.5}
)


def test_the_rule_by_hand() -> None:
    """2 · heat + 0.5 · ln(p / (1 − p)) + 0.5 in the region, 2 · heat − 1 + 0.5 elsewhere."""
    material = fusion.material_map([region((slice(0, 4), slice(0, 4)), 0.8)], blocks())
    level = fusion.fuse(fusion.heat_map(np.full((2, 3), 0.25, np.float32), 8, blocks()), material, RULE)
    assert level.shape == (8, 12)
    assert level[1, 1] == pytest.approx(0.5 + 0.5 * np.log(4) + 0.5)
    assert level[7, 11] == pytest.approx(0.5 - 1.0 + 0.5)
    assert fusion.probability(level)[7, 11] == pytest.approx(0.5)
    assert fusion.log_odds(1.0) == pytest.approx(fusion.MATERIAL_LIMIT)
    assert fusion.log_odds(0.0) == pytest.approx(-fusion.MATERIAL_LIMIT)


def test_heat_lies_where_its_cells_are() -> None:
    heat = np.zeros((2, 3), np.float32)
    heat[1, 2] = 1.0
    at_blocks = fusion.heat_map(heat, 8, blocks())
    assert at_blocks[4:, 8:].mean() > 0.6
    assert at_blocks[:3, :6].max() == 0
    assert fusion.heat_map(heat, 8, blocks(0, 0)).shape == (0, 0)


def test_places_are_connected_and_the_likeliest_comes_first() -> None:
    probabilities = np.zeros((8, 12))
    probabilities[1:3, 1:3], probabilities[3, 3], probabilities[6, 8:11] = 0.6, 0.7, 0.9
    first, second = fusion.places(probabilities, 0.5)
    assert (first.probability, second.probability) == (0.9, 0.7)
    assert first.box == (slice(6, 7), slice(8, 11))
    assert second.mask.sum() == 5, "corners connect"
    assert second.overlap(region((slice(0, 3), slice(2, 12)), 0.5)[1]) == 2
    assert first.overlap(region((slice(0, 3), slice(0, 12)), 0.5)[1]) == 0


def test_saliency_survives_a_message_and_is_cut_at_cells() -> None:
    cells = np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4)
    whole = saliency.encode(cells, (0, 0, 24, 32))
    np.testing.assert_allclose(saliency.decode(whole) / 255, cells, atol=0.5 / 255)
    part = saliency.crop(cells, 8, (7, 9, 16, 20))
    assert part.box == (0, 8, 16, 24)
    np.testing.assert_allclose(saliency.decode(part) / 255, cells[:2, 1:3], atol=0.5 / 255)


@pytest.mark.parametrize("data", ["%%%", "AAAA", saliency.encode(np.zeros((2, 2), np.float32), (0, 0, 1, 1)).data])
def test_saliency_of_another_size_is_refused(data: str) -> None:
    whole = saliency.encode(np.zeros((3, 4), np.float32), (0, 0, 24, 32))
    with pytest.raises(ValueError, match="saliency"):
        saliency.decode(whole.model_copy(update={"data": data}))


def test_the_network_of_another_pixel_size_is_refused(network: Network, tmp_path: Path) -> None:
    from edge.inference.detector import Geometry

    with pytest.raises(ValueError, match="trained on pixels of 308 × 300 µm"):
        network.stream(Geometry(32, 308.0, 150.0))
