"""Pictures for the paper's networks: retrieved images side by side, as three colours of 0 to 1.

[P] study 1: t, dark-field and offset horizontally concatenated. [P] study 2: dark-field and ratio images; without
dark-field the same network sees the images that are left. A picture is made of the run's planes only: an image that
needs another one is left out, and refused where it is asked for. Ours: the colours are the low bin, the high bin and
their mean (one bin: three times the same), every image is scaled to a square panel, dark-field is shown over a fixed
range.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from edge.inference.planes import BINS, VALID
from kernels.types import F32
from training.fit_network.inputs import Inputs

#: Range of the pictures, per bin: dark-field in µm², ratio τ²/(−ln t) in µm².
SPAN = {"dark_field": (150.0, 60.0), "ratio": (120.0, 60.0)}
#: Least attenuation that a ratio is taken with.
FLOOR = 0.03
#: Images that need other planes than their own name's.
NEEDS = {"ratio": ("dark_field", "attenuation")}
STUDY_1 = ("attenuation", "dark_field", "offset_attenuation")
STUDY_2 = ("attenuation", "dark_field", "ratio")
#: Pictures of the split network: of the first stack, and of the three networks of the second. Without dark-field each
#: shows those of its images that are left, else attenuation.
SPLIT = (("attenuation",), ("dark_field",), ("ratio",), ("dark_field", "ratio"))
SPLIT_WITHOUT = (("attenuation",), ("attenuation",), ("offset_attenuation",), ("attenuation", "offset_attenuation"))


def _bins(planes: Sequence[str]) -> list[int]:
    """Numbers of the bins that ``planes`` hold attenuation of; ValueError for none."""
    bins = [k for k, name in enumerate(BINS) if f"attenuation {name}" in planes]
    if not bins:
        raise ValueError(f"pictures: no attenuation among the planes {', '.join(planes)}; choose a set with it")
    return bins


def available(images: Sequence[str], planes: Sequence[str]) -> tuple[str, ...]:
    """Those of ``images`` that can be made of ``planes``, in every bin that these have."""
    bins = [BINS[k] for k in _bins(planes)]
    return tuple(
        image
        for image in images
        if all(f"{plane} {name}" in planes for plane in NEEDS.get(image, (image,)) for name in bins)
    )


def shown(study: Literal[1, 2], planes: Sequence[str], *, split: bool) -> tuple[tuple[str, ...], ...]:
    """The images of each picture that a network is given, all of them made of ``planes``: one picture, four if split.

    One picture of study 2 shows study 1's images where fewer than two of its own are left.
    """
    if not split:
        left = available(STUDY_1 if study == 1 else STUDY_2, planes)
        return (left if len(left) > 1 else available(STUDY_1, planes),)
    if all(available(images, planes) == images for images in SPLIT):
        return SPLIT
    return tuple(available(images, planes) or ("attenuation",) for images in SPLIT_WITHOUT)


def _image(inputs: Inputs, name: str, bin_: int) -> F32:
    """One image of one bin, 0 to 1."""

    def plane(which: str) -> F32:
        one: F32 = inputs.chosen([f"{which} {BINS[bin_]}"])[0]
        return one

    if name in ("attenuation", "offset_attenuation"):
        made: F32 = np.exp(-plane(name)) * inputs.chosen([VALID])[0]
    elif name == "dark_field":
        made = plane(name) / np.float32(SPAN[name][bin_])
    else:
        below = plane("attenuation")
        made = plane("dark_field") * below / (below * below + np.float32(FLOOR**2))
        made = made / np.float32(SPAN[name][bin_])
    return np.clip(made, np.float32(0), np.float32(1))


def picture(
    inputs: Inputs, images: Sequence[str], planes: Sequence[str], window: tuple[slice, slice], panel: int
) -> Tensor:
    """(3, panel, len(images) × panel): ``window`` (rows, columns) of each image, low and high bin and their mean.

    ValueError for an image that cannot be made of ``planes``.
    """
    missing = sorted(set(images) - set(available(images, planes)))
    if missing:
        raise ValueError(f"pictures: {', '.join(missing)} cannot be made of the planes {', '.join(planes)}")
    panels = []
    for image in images:
        colours = [_image(inputs, image, k)[window] for k in _bins(planes)]
        low, high = colours[0], colours[-1]
        stack = torch.from_numpy(np.stack([low, high, (low + high) / 2]))
        panels.append(functional.interpolate(stack[None], (panel, panel), mode="bilinear", antialias=True)[0])
    return torch.cat(panels, 2).clamp(0, 1)


def window(shape: tuple[int, int], crop: float, rng: np.random.Generator) -> tuple[slice, slice]:
    """A random part of the image, ``crop`` of each side; 1 takes all of it."""
    cut = []
    for size in shape:
        kept = max(1, round(crop * size))
        start = int(rng.integers(size - kept + 1))
        cut.append(slice(start, start + kept))
    return cut[0], cut[1]


def augmented(image: Tensor, rng: np.random.Generator) -> Tensor:
    """What the paper calls data augmentation: rotation, flipping, scaling, contrast and illumination, at random.

    It found this harmful: rotated grain does not occur in a scanner that is sensitive in one direction.
    """
    if rng.random() < 0.5:
        image = image.flip(1)
    if rng.random() < 0.5:
        image = image.flip(2)
    angle, scale = rng.uniform(-np.pi, np.pi), rng.uniform(0.8, 1.25)
    turn = torch.tensor(
        [[np.cos(angle), -np.sin(angle), 0.0], [np.sin(angle), np.cos(angle), 0.0]], dtype=torch.float32
    )
    grid = functional.affine_grid(turn[None] / scale, [1, *image.shape], align_corners=False)
    image = functional.grid_sample(image[None], grid, align_corners=False)[0]
    return (image * float(rng.uniform(0.8, 1.2)) + float(rng.uniform(-0.1, 0.1))).clamp(0, 1)
