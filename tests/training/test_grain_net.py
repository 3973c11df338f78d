"""Our network: what it promises about shapes, planes, borders and size; batches and targets it learns from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from edge.inference.planes import PLANES  # noqa: E402
from tests.training.tiny_dataset import make  # noqa: E402
from training.fit_network import crops  # noqa: E402
from training.fit_network.channels import CHANNELS, planes_of  # noqa: E402
from training.fit_network.inputs import Store, scales  # noqa: E402
from training.fit_network.pasting import Paster  # noqa: E402
from training.networks.grain_net import HALO, STRIDE, GrainNet, parameters  # noqa: E402


@pytest.mark.parametrize("channels", CHANNELS)
def test_every_set_of_planes_gives_heat_and_score(channels: str) -> None:
    planes = planes_of(channels)
    network = GrainNet(planes, [1.0] * len(planes)).eval()
    assert parameters(network) < 1_500_000
    with torch.inference_mode():
        heat, score = network(torch.rand(2, len(planes), 48, 64))
    assert heat.shape == (2, 1, 6, 8)
    assert score.shape == (2, 1)


def test_sets_without_dark_field_hold_none() -> None:
    for channels in ("attenuation", "attenuation-offset", "no-dark-field"):
        assert not any("dark_field" in name or "refraction" in name for name in planes_of(channels))
    assert planes_of("attenuation") == ("attenuation low", "attenuation high", "valid")  # as the paper compares with
    assert not any("high" in name for name in planes_of("one-bin"))
    with pytest.raises(ValueError, match="use one of all, attenuation"):
        planes_of("colour")


def test_heat_depends_on_no_pixel_beyond_the_halo() -> None:
    torch.manual_seed(0)
    network = GrainNet(PLANES, [1.0] * len(PLANES), width=8).eval()
    cell, size = 14, 240
    planes = torch.rand(1, len(PLANES), size, size, requires_grad=True)
    heat, _ = network(planes)
    heat[0, 0, cell, cell].backward()
    seen = (planes.grad.abs().sum((0, 1)) > 0).nonzero()
    assert cell * STRIDE - HALO <= int(seen.min())
    assert int(seen.max()) < (cell + 1) * STRIDE + HALO
    assert int(seen.min()) < cell * STRIDE - HALO + 2 * STRIDE  # and the halo is not much larger than it must be


def test_slopes_see_through_a_background() -> None:
    """A thing's own ratio comes out the same over nothing and over a uniform thing."""
    names = ("attenuation low", "dark_field low", "valid")
    physics = GrainNet(names, [1.0] * 3).physics
    thing = np.zeros((1, 3, 64, 64), np.float32)
    thing[:, 2] = 1
    thing[0, 0, :, 32:], thing[0, 1, :, 32:] = 0.4, 12.0
    covered = thing + np.array([0.7, 30.0, 0.0], np.float32).reshape(1, 3, 1, 1)
    alone, behind = (physics(torch.from_numpy(planes))[1][0, :, 3, 3] for planes in (thing, covered))
    ratios = physics.ratios
    assert torch.allclose(alone[ratios:], behind[ratios:], atol=1e-3)
    # 8 µm² per 0.4, times the scale 0.03, squeezed to x / (1 + x / 4); the least variance takes a little.
    assert alone[ratios].item() == pytest.approx(1 / (1 + 1 / 6), rel=0.02)


def test_targets_of_cells_and_what_is_not_judged() -> None:
    mask = np.zeros((16, 24), np.uint8)
    mask[:8, :8] = 1
    mask[:8, 8:11] = 1  # three of eight columns: neither a threat nor not one
    mask[8:, 16:] = 2
    target, value = crops.cell_targets(mask)
    assert target.tolist() == [[1, -1, 0], [0, 0, 0]]
    assert value.tolist() == [[1, 0, 0], [0, 0, 2]]


def test_batches_are_repeatable_and_lay_scans_over_each_other(tmp_path: Path) -> None:
    scans = make(tmp_path / "data", shape=(64, 64))
    store = Store(scans)
    sampler = crops.Sampler(store, range(8), PLANES, 48, on_sample=1.0, flip=True, overlay=1.0)
    first, again = (sampler.draw(np.random.default_rng(3), 6) for _ in range(2))
    assert np.array_equal(first.planes, again.planes)
    assert first.planes.shape == (6, len(PLANES), 48, 48)
    assert set(np.unique(first.labels)) <= {-1.0, 0.0, 1.0}
    assert (first.labels == 1).any()
    # Two scans of transmission 0.8 on top of each other let 0.64 through; their errors add in squares.
    air = first.planes[:, PLANES.index("attenuation low")]
    assert np.median(air[first.planes[:, -1] > 0]) == pytest.approx(-np.log(0.64), rel=0.35)
    spread = first.planes[:, PLANES.index("dark_field low sd")]
    assert np.median(spread[first.planes[:, -1] > 0]) == pytest.approx(5 * 2**0.5, rel=0.01)


def test_a_mirrored_crop_is_the_scan_seen_from_the_other_side(tmp_path: Path) -> None:
    store = Store(make(tmp_path / "set", scans=8, shape=(48, 48)))
    whole = [np.asarray(store[k].planes).astype(np.float32) for k in range(8)]
    turned = [planes[:, :, ::-1].copy() for planes in whole]
    for planes in turned:
        planes[[PLANES.index("refraction low"), PLANES.index("refraction high")]] *= -1
    sampler = crops.Sampler(store, range(8), PLANES, 48, on_sample=1.0, flip=False, overlay=0.0, mirror=True)
    drawn = sampler.draw(np.random.default_rng(3), 8).planes
    straight, mirrored = (
        sum(any(np.array_equal(planes, one) for one in some) for planes in drawn) for some in (whole, turned)
    )
    assert straight + mirrored == 8
    assert straight > 0
    assert mirrored > 0


def test_scales_come_from_the_scans_asked_for_only(tmp_path: Path) -> None:
    scans = make(tmp_path / "data")
    store = Store(scans)
    threats = [k for k, entry in enumerate(scans.manifest.scans) if entry.label]
    rest = [k for k in range(len(scans)) if k not in threats]
    with_dark_field, without = (scales(store, part, 0)[PLANES.index("dark_field low")] for part in (threats, rest))
    assert with_dark_field > 1.5 * without


def test_boxes_of_known_materials_are_laid_into_scans(tmp_path: Path) -> None:
    scans = make(tmp_path / "data", shape=(96, 96))
    store = Store(scans)
    paster = Paster(store, range(4), 80, (0.3, 0.3))
    planes = np.zeros((len(PLANES), 160, 160), np.float32)
    planes[[PLANES.index(name) for name in PLANES if name.endswith("sd")]] = 0.01
    planes[-1] = 1
    seen = set()
    for seed in range(12):
        crop, mask = planes.copy(), np.zeros((160, 160), np.uint8)
        paster.paste(crop, mask, np.random.default_rng(seed))
        value = int(min(set(np.unique(mask)) - {0}))
        seen.add(value)
        low, high = (np.median(crop[PLANES.index(f"attenuation {bin_}")][mask == value]) for bin_ in ("low", "high"))
        assert low > high > 0
        assert np.median(crop[PLANES.index("attenuation low sd")][mask == value]) > 0.01
        assert abs(np.median(crop[PLANES.index("attenuation low")][mask == 0])) < 0.01
    assert seen == {1, 2, 3}
