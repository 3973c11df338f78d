"""Pictures for the paper's networks are made of the run's planes and of nothing else."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from edge.inference.planes import PLANES  # noqa: E402
from tests.training.tiny_dataset import make  # noqa: E402
from training.dataset import Scans  # noqa: E402
from training.fit_network import paper, pictures  # noqa: E402
from training.fit_network.channels import CHANNELS, planes_of  # noqa: E402
from training.fit_network.inputs import Inputs, Store  # noqa: E402
from training.fit_network.presets import PaperPreset, preset  # noqa: E402
from training.networks.weights import Weights  # noqa: E402

#: Type I, type II, split and standard.
NETWORKS = ("study1-lite0-fc1-hinge", "study1-lite0-texture", "study2-split-lite0", "study2-lite0")
ATTENUATION = {
    "study1-lite0-fc1-hinge": (("attenuation",),),
    "study1-lite0-texture": (("attenuation",),),
    "study2-split-lite0": (("attenuation",),) * 4,
    "study2-lite0": (("attenuation",),),
}


class Disturbed(Store):
    """Planes as they are, but for those that are not in ``kept``: they are noise."""

    def __init__(self, scans: Scans, kept: tuple[str, ...]) -> None:
        super().__init__(scans)
        self._kept = kept

    def __getitem__(self, index: int) -> Inputs:
        found = super().__getitem__(index)
        planes = np.array(found.planes)
        rng = np.random.default_rng(index)
        for k, name in enumerate(PLANES):
            if name not in self._kept:
                planes[k] = rng.uniform(0, 50, planes[k].shape)
        return Inputs(planes, found.mask)


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Scans:
    return make(tmp_path_factory.mktemp("data") / "set", scans=4, splits=1)


def _examples(name: str, store: Store, channels: str) -> paper.Examples:
    chosen = preset(name)
    assert isinstance(chosen, PaperPreset)
    trunk: Any = SimpleNamespace(input_size=24)  # nothing but the pictures is asked for
    return paper.Examples(chosen, store, planes_of(channels), trunk, Weights("none"), None, "")


@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("name", [*NETWORKS, *(f"{name}-augmented" for name in NETWORKS)])
def test_planes_that_a_run_has_not_change_no_picture(scans: Scans, name: str, channels: str) -> None:
    plain, noisy = Store(scans), Disturbed(scans, planes_of(channels))
    for training in (False, True):
        one, other = (_examples(name, store, channels).images(1, training=training) for store in (plain, noisy))
        assert torch.equal(one, other)
    blind = _examples(name, Disturbed(scans, ()), channels).images(1, training=False)
    assert not torch.equal(blind, _examples(name, plain, channels).images(1, training=False))


@pytest.mark.parametrize("name", NETWORKS)
def test_a_run_with_attenuation_alone_shows_attenuation_pictures_alone(scans: Scans, name: str) -> None:
    examples = _examples(name, Store(scans), "attenuation")
    assert examples.pictures == ATTENUATION[name]
    made = examples.images(0, training=False)
    assert made.shape[1:] == (len(ATTENUATION[name]), 3, 24, 24)


@pytest.mark.parametrize("channels", ["no-dark-field", "attenuation-offset", "one-bin-no-dark-field"])
def test_offset_is_shown_where_the_run_has_it(channels: str) -> None:
    planes, both = planes_of(channels), ("attenuation", "offset_attenuation")
    assert pictures.shown(2, planes, split=True) == pictures.SPLIT_WITHOUT
    assert pictures.shown(1, planes, split=False) == pictures.shown(2, planes, split=False) == (both,)


@pytest.mark.parametrize("channels", ["all", "no-refraction", "no-sd", "one-bin"])
def test_dark_field_is_shown_where_the_run_has_it(channels: str) -> None:
    planes = planes_of(channels)
    assert pictures.shown(2, planes, split=True) == pictures.SPLIT
    assert pictures.shown(1, planes, split=False) == (pictures.STUDY_1,)
    assert pictures.shown(2, planes, split=False) == (pictures.STUDY_2,)


@pytest.mark.parametrize("image", ["dark_field", "offset_attenuation", "ratio"])
def test_images_of_other_planes_are_refused(scans: Scans, image: str) -> None:
    whole = (slice(None), slice(None))
    inputs, planes = Store(scans)[0], planes_of("attenuation")
    with pytest.raises(ValueError, match=f"{image} cannot be made of the planes attenuation low, attenuation high"):
        pictures.picture(inputs, ("attenuation", image), planes, whole, 8)
    # Two bins are asked for, one of them lacks the image.
    some = (*planes, f"{'dark_field' if image == 'ratio' else image} low")
    with pytest.raises(ValueError, match=image):
        pictures.picture(inputs, (image,), some, whole, 8)
    with pytest.raises(ValueError, match="no attenuation among the planes dark_field low"):
        pictures.picture(inputs, ("dark_field",), ("dark_field low",), whole, 8)
