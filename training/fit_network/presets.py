"""How networks are trained, by name: the paper's parameters as printed, and ours.

[P] is printed in the paper (Methods, training details of the two proof-of-concept tests); the rest is ours.

Names: ``study1-<trunk>-fc<layers>-<loss>`` for type I, ``study1-<trunk>-texture`` for type II, ``study2-split-<trunk>``
for the stacked network, ``study2-<trunk>`` for the standard ones; ``-augmented`` switches data augmentation on, and a
further ``-tuned`` trains the trunk as well instead of only the layers behind it (``-tuned-128``: on smaller pictures).
``study1``, ``study2`` and ``lane`` are our network, ``-quick`` its shortened trainings, ``-pasted`` with boxes of known
materials laid into the scans.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from typing import Literal

TrunkName = Literal["googlenet", "inception_resnet_v2", "lite0"]
TRUNKS: tuple[TrunkName, ...] = ("googlenet", "inception_resnet_v2", "lite0")
LossName = Literal["softmax", "hinge", "cross_entropy"]
#: Layers and losses that the paper compares.
LAYERS: tuple[int, ...] = (1, 2, 3)
LOSS_NAMES: tuple[LossName, ...] = ("softmax", "hinge", "cross_entropy")


@dataclass(frozen=True)
class Optimiser:
    """``parameter``: β₂ of Adam or the momentum. The rate falls to ``factor`` of itself every ``decay_steps`` batches.

    ``factor`` None: it rises over a tenth of the steps and falls to zero as a cosine.
    """

    kind: Literal["adam", "momentum"]
    parameter: float
    rate: float
    factor: float | None
    decay_steps: int
    regularisation: float


#: Of the first test [P]: Adam, 0.99, λ 1e-4, rate 1e-3, × 0.96 every 100 steps.
TEST_1 = Optimiser("adam", 0.99, 1e-3, 0.96, 100, 1e-4)
#: Of the second [P]: momentum 0.99, λ 1e-4, rate 1e-3, × 0.92 every 200 steps.
TEST_2 = Optimiser("momentum", 0.99, 1e-3, 0.92, 200, 1e-4)
OURS = Optimiser("adam", 0.99, 3e-3, None, 0, 2e-5)


@dataclass(frozen=True)
class PaperPreset:
    """One of the paper's networks. ``tuned``: the trunk is trained as well, else its features are kept."""

    name: str
    network: Literal["type1", "type2", "split", "standard"]
    trunk: TrunkName
    layers: int
    loss: LossName
    optimiser: Optimiser
    epochs: int = 40  # [P]
    batch: int = 32  # [P]
    dropout: float = 0.5  # [P]
    crops: int = 2  # [P] for test 1; none in test 2
    crop: float = 0.9
    tuned: bool = False
    augment: bool = False
    #: Height of a panel of the picture in pixels; None: the trunk's usual input.
    panel: int | None = None


@dataclass(frozen=True)
class GrainPreset:
    """Our network. ``steps`` batches of ``batch`` crops of ``crop`` pixels a side; ``validation``: part of the scans
    to train with that only the calibration of the score sees.
    """

    name: str
    steps: int
    batch: int = 16
    crop: int = 160
    width: int = 24
    dropout: float = 0.1
    optimiser: Optimiser = OURS
    validation: float = 0.2
    flip: bool = True
    #: Above 0: the score is calibrated by cross-fitting over so many folds, and no scan is held back.
    folds: int = 0
    #: Crops mirrored across the belt's direction too, refraction with its sign changed.
    mirror: bool = False
    #: How likely a box of a known material is laid into a crop, and after it another one.
    pasted: float = 0.0
    #: Batches between reports and checkpoints.
    every: int = 25
    #: Convolutions in bfloat16: half as long again as fast where the processor has it.
    bf16: bool = True
    #: Share of the crops over which part of another scan is laid: clutter that no scan had.
    overlay: float = 0.4
    #: Weight of the bag's loss beside the cells'.
    bag_weight: float = 0.3
    #: Share of the crops that hold part of a sample, a threat or a benign one.
    on_sample: float = 0.6
    #: Goes on from a network that was trained on other simulated scans.
    pretrained: bool = False


Preset = PaperPreset | GrainPreset


def _papers() -> list[PaperPreset]:
    made: list[PaperPreset] = []
    for trunk, layers, loss in product(TRUNKS, LAYERS, LOSS_NAMES):
        made.append(PaperPreset(f"study1-{trunk}-fc{layers}-{loss}", "type1", trunk, layers, loss, TEST_1))
    for trunk in TRUNKS:
        made.append(PaperPreset(f"study1-{trunk}-texture", "type2", trunk, 1, "hinge", TEST_1))
        made.append(PaperPreset(f"study2-split-{trunk}", "split", trunk, 1, "softmax", TEST_2, crops=1, crop=1.0))
        made.append(PaperPreset(f"study2-{trunk}", "standard", trunk, 1, "softmax", TEST_2, crops=1, crop=1.0))
    made += [replace(preset, name=f"{preset.name}-augmented", augment=True) for preset in made]
    made += [replace(preset, name=f"{preset.name}-tuned", tuned=True) for preset in made]
    made += [replace(preset, name=f"{preset.name}-{SMALL_PANEL}", panel=SMALL_PANEL) for preset in made if preset.tuned]
    return made


#: Panels of this many pixels: a third of the usual work, for trunks that learn on a processor.
SMALL_PANEL = 128
#: The CPU runs the eight-bit graph when its area under the curve is at most this much below that of fp32.
INT8_LOSS = 0.003
#: End of the names of the presets that train on many simulated scans for others to go on from.
PRETRAINING = "pretraining"
#: Going on: little is left to learn, so the rate is low.
GOING_ON = replace(OURS, rate=3e-4)

#: Training on thousands of scans, and going on from there with those of a study.
MANY = GrainPreset(
    "", steps=6000, batch=24, width=32, validation=0.05, every=250, mirror=True, overlay=0.0, on_sample=0.9
)
FEW = replace(MANY, steps=150, batch=12, every=25, folds=4, optimiser=GOING_ON, pretrained=True)
#: Training on hundreds of scans in minutes on one core, to compare sets of planes, data sets and materials with.
SMALL = replace(MANY, steps=1200, batch=12, width=24)
#: Width of the lane's network: with it three graphs, golden vectors and manifest stay below 5 MB.
LANE_WIDTH = 28

_OURS = (
    GrainPreset("study1", steps=400),
    GrainPreset("study2", steps=900),
    GrainPreset("lane", steps=1500, batch=12, validation=0.15, overlay=0.2, pasted=0.5),
    GrainPreset("study1-quick", steps=160, batch=12, crop=128, width=16),
    GrainPreset("study2-quick", steps=240, batch=12, crop=128, width=16),
    GrainPreset("lane-quick", steps=300, batch=12, crop=160, validation=0.2, pasted=0.5),
    *(replace(MANY, name=f"{kind}-{PRETRAINING}") for kind in ("study1", "study2")),
    replace(MANY, name=f"lane-{PRETRAINING}", steps=12000, width=LANE_WIDTH),
    replace(SMALL, name=f"study1-small-{PRETRAINING}"),
    replace(FEW, name="study1-pretrained"),
    replace(FEW, name="study1-small-pretrained", width=SMALL.width),
    replace(FEW, name="study2-pretrained", steps=500, folds=0, validation=0.2),
    replace(
        FEW,
        name="lane-pretrained",
        steps=3000,
        width=LANE_WIDTH,
        folds=0,
        validation=0.2,
        optimiser=replace(OURS, rate=1e-3),
        on_sample=0.6,
        overlay=0.2,
    ),
    GrainPreset("study1-pasted", steps=1500, batch=12, overlay=0.2, pasted=0.5),
    GrainPreset("study2-pasted", steps=1500, batch=12, overlay=0.2, pasted=0.5),
)

_ALL: list[Preset] = [*_papers(), *_OURS]
PRESETS: dict[str, Preset] = {preset.name: preset for preset in _ALL}


def preset(name: str) -> Preset:
    """The preset ``name``; ValueError with near names."""
    if name not in PRESETS:
        near = [known for known in PRESETS if known.split("-")[0] == name.split("-", maxsplit=1)[0]] or list(PRESETS)
        raise ValueError(f"preset {name!r} does not exist; some that do: {', '.join(near[:12])}")
    return PRESETS[name]
