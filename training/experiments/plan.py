"""What is run: all experiments of the two studies."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Final, Literal

from training.dataset.scenes import EXPLOSIVES, HARMLESS
from training.experiments.parts import FOLDS
from training.experiments.runs import Bar, DataName, Experiment, Run, over_splits

Study = Literal["study1", "study2"]
#: How trunks are called in reports. Lite0 stands in for the paper's two where their ImageNet weights are not to be had.
TRUNKS: Final = {
    "googlenet": "GoogLeNet",
    "inception_resnet_v2": "Inception-ResNet-v2",
    "lite0": "EfficientNet-Lite0",
}
LOSSES: Final = ("softmax", "hinge")
#: What the paper compares with: the attenuation images of both bins and nothing else, a proxy for current scanners.
WITHOUT: Final = "attenuation"
#: Attenuation and offset with their 1-σ, which tell of the dark-field in turn.
ABSORPTION: Final = "no-dark-field"
#: Sets in between: what else there is without dark-field and refraction where the beam passes masks.
BETWEEN: Final = {
    "attenuation and offset": "attenuation-offset",
    "attenuation and offset with their 1-σ": ABSORPTION,
    "without refraction only": "no-refraction",
    "without any 1-σ": "no-sd",
}
#: Subfolders of weights of other seeds of the training.
SEEDS: Final = ("seed-1", "seed-2")
#: Subfolder of study 2's weights that come from study 1's scans.
OTHER_VOLTAGE: Final = "from-study1"
#: Label of our network's bars, and of the same network that has seen nothing but the split's own scans.
OURS: Final = "ours"
SCRATCH: Final = "ours, not pretrained"
#: Parts of the scans to train with in the learning curve.
CURVE: Final = (0.125, 0.25, 0.5)


def plan(
    study: Study, ours: str, trunks: Sequence[str], splits: int, training: int, scratch: str | None = None
) -> list[Experiment]:
    """All experiments of a study: ``ours`` is the preset of our network, ``splits`` how many random splits.

    ``trunks``: the trunk of which the variants (augmentation, without dark-field) are run comes first.
    ``training``: how many scans split 0 trains with. ``scratch``: a preset of our network that is not pretrained, to
    be compared with.
    """
    made = _study1(ours, trunks[0], splits, scratch) if study == "study1" else _study2(ours, trunks[0], scratch)
    learning = _learning({OURS: ours, **({SCRATCH: scratch} if scratch else {})}, training)
    return [*made, learning, _leakage(ours, splits if study == "study1" else 1, scratch)]


def _learning(presets: dict[str, str], training: int) -> Experiment:
    counts = [2 * round(part * training / 2) for part in CURVE]
    bars: list[Bar] = []
    for (label, preset), (words, channels) in product(presets.items(), (("", "all"), (", without", WITHOUT))):
        bars.append(Bar(f"{label}{words}, {training} scans", (Run(preset, channels),)))
        for count in reversed(counts):
            bars.append(Bar(f"{label}{words}, {count} scans", (Run(preset, channels, part=f"some-{count}"),)))
    note = "Split 0, trained with a part of its scans."
    return Experiment("learning", "Learning curve", note, tuple(bars))


def _leakage(ours: str, splits: int, scratch: str | None) -> Experiment:
    def on(data: DataName, preset: str = ours) -> tuple[Run, ...]:
        return tuple(Run(preset, part=f"split-{k}", data=data) for k in range(splits))

    bars = [
        Bar(OURS, on("own")),
        Bar(f"{OURS}, other scene seeds", on("second")),
        Bar(f"{OURS}, labels dealt at random", on("shuffled")),
    ]
    if scratch:
        # Weights that stay as they came cannot learn such labels; a network that learns could, if anything leaked.
        bars.append(Bar(f"{SCRATCH}, labels dealt at random", on("shuffled", scratch)))
    note = "Other scenes must give the same within the intervals; labels that mean nothing must end at chance."
    return Experiment("leakage", "Other scenes, and labels without meaning", note, tuple(bars))


def _study1(ours: str, trunk: str, splits: int, scratch: str | None) -> list[Experiment]:
    def paper(trunk: str, layers: int, loss: str, channels: str = "all", more: str = "") -> tuple[Run, ...]:
        return over_splits(splits, f"study1-{trunk}-fc{layers}-{loss}{more}", channels)

    named = f"{TRUNKS[trunk]}, 1 FC, hinge"
    best = paper(trunk, 1, "hinge")
    mine = over_splits(splits, ours)
    alone: list[Bar] = []
    alone_without: list[Bar] = []
    if scratch:
        alone = [Bar(SCRATCH, over_splits(splits, scratch))]
        alone_without = [Bar(f"{SCRATCH}, without", over_splits(splits, scratch, WITHOUT))]
    fig3 = [
        Bar(f"{TRUNKS[name]}, {layers} FC, {loss}", paper(name, layers, loss))
        for name, layers, loss in product(TRUNKS, (1, 2, 3), LOSSES)
    ]
    fig3 += [Bar(f"{TRUNKS[name]}, texture", over_splits(splits, f"study1-{name}-texture")) for name in TRUNKS]
    # A trunk without its ImageNet weights is worth nothing before it has learnt.
    fig3 += [
        Bar(f"{TRUNKS[name]}, 1 FC, hinge, trunk trained too", paper(name, 1, "hinge", more="-tuned-128"))
        for name in TRUNKS
    ]
    folds = [f"fold-{k}" for k in range(FOLDS)]
    return [
        Experiment(
            "fig3", "Accuracy of the networks (Fig. 3)",
            "Random 70/30 splits. Texture: type II, a texture network beside the trunk, one layer, hinge loss.",
            (*fig3, *alone, Bar(OURS, mine)),
        ),
        Experiment(
            "dark_field", "With and without dark-field",
            "Without: the attenuation images of both bins only, as in the paper.",
            (
                Bar(OURS, mine), Bar(f"{OURS}, without", over_splits(splits, ours, WITHOUT)),
                *(Bar(f"{OURS}, {words}", over_splits(splits, ours, channels)) for words, channels in BETWEEN.items()),
                *alone, *alone_without,
                Bar(named, best), Bar(f"{named}, without", paper(trunk, 1, "hinge", WITHOUT)),
            ),
        ),
        Experiment(
            "roc", "Receiver operating curves", "Scores of all splits together.",
            (
                Bar(OURS, mine), Bar(f"{OURS}, without dark-field", over_splits(splits, ours, WITHOUT)),
                Bar(named, best), Bar(f"{named}, without dark-field", paper(trunk, 1, "hinge", WITHOUT)),
            ), "roc",
        ),
        Experiment(
            "k_fold", f"{FOLDS}-fold cross-validation within the training part of split 0",
            "Everything that is fitted, normalisation included, is fitted anew in each fold.",
            (
                Bar(OURS, tuple(Run(ours, part=fold) for fold in folds)),
                Bar(named, tuple(Run(best[0].preset, part=fold) for fold in folds)),
            ),
        ),
        Experiment(
            "augmentation", "Data augmentation off and on",
            "Rotation, flipping, scaling, contrast and illumination, as the paper tried.",
            (Bar(f"{named}, off", best), Bar(f"{named}, on", paper(trunk, 1, "hinge", more="-augmented"))),
        ),
        _left_out(ours, pretrained=scratch is not None),
        _retrievals(ours, splits, named, best, scratch),
        bins(ours, splits),
        *(_seed(ours, splits, start) for start in SEEDS if scratch),
    ]  # fmt: skip


def _seed(ours: str, splits: int, start: str) -> Experiment:
    """The comparison that counts, with weights of another seed of the training."""
    pair = (("", "all"), (", without", WITHOUT))
    bars = (Bar(f"{OURS}{words}", over_splits(splits, ours, channels, start=start)) for words, channels in pair)
    return Experiment(f"dark_field_{start}", f"With and without dark-field ({start} of the training)", "", tuple(bars))


def _left_out(ours: str, *, pretrained: bool) -> Experiment:
    materials = (*EXPLOSIVES, *HARMLESS)
    note = "Tested on every scan of the material, and on the other label's scans of split 0."
    parts = [(name, f"without-{name}") for name in materials]
    bars = [Bar(f"{name} left out", (Run(ours, part=part, start=part if pretrained else ""),)) for name, part in parts]
    if pretrained:
        note += " Left out: neither weights nor calibration have seen the material. Learnt: the weights have."
        bars += [Bar(f"{name} learnt", (Run(ours, part=part),)) for name, part in parts]
    return Experiment("leave_one_out", "Materials never seen in training", note, tuple(bars))


def _study2(ours: str, trunk: str, scratch: str | None) -> list[Experiment]:
    def timed(preset: str, channels: str = "all") -> tuple[Run, ...]:
        return (Run(preset, channels, timed=True),)

    split, named = f"study2-split-{trunk}", f"{TRUNKS[trunk]}, split network"
    pairs = [("with dark-field", "all"), ("without dark-field", WITHOUT)]
    networks = [(OURS, ours), *([(SCRATCH, scratch)] if scratch else []), (named, split)]
    table1 = tuple(
        Bar(f"{label}, {words}", timed(preset, channels))
        for (label, preset), (words, channels) in product(networks, pairs)
    )
    standard = tuple(
        Bar(f"{TRUNKS[name]}, {words}", timed(f"study2-{name}", channels))
        for name, (words, channels) in product(TRUNKS, pairs)
    )
    folds = tuple(Run(ours, part=f"fold-{k}") for k in range(FOLDS))
    other: list[Experiment] = []
    if scratch:
        told = "500 batches of the study's scans on weights that know only 80 kVp and 0.3 mm."
        bars = tuple(
            Bar(f"{OURS}, {words}", (Run(ours.partition("@")[0], channels, start=OTHER_VOLTAGE),))
            for words, channels in pairs
        )
        other = [Experiment("other_voltage", "Learnt at another voltage, then from few scans", told, bars)]
    return [
        Experiment(
            "table1", "Held-out scans (Table 1)",
            "Time: planes, pictures and networks for all tested scans, on the machine named below.", table1,
        ),
        Experiment("roc", "Receiver operating curves (Supplementary Fig. 6)", "Held-out scans.", table1, "roc"),
        Experiment("supplementary1", "Standard networks (Supplementary Table 1)", "", standard),
        Experiment("k_fold", f"{FOLDS}-fold cross-validation within the training part", "", (Bar(OURS, folds),)),
        _retrievals(ours, 1, named, (Run(split),)),
        bins(ours, 1, scratch=scratch),
        *other,
    ]  # fmt: skip


def _retrievals(ours: str, splits: int, named: str, best: tuple[Run, ...], scratch: str | None = None) -> Experiment:
    on_paper = tuple(Run(run.preset, run.channels, "paper", run.part) for run in best)
    alone: tuple[Bar, ...] = ()
    if scratch:
        # Weights that learnt on the one say nothing about the other.
        alone = (
            Bar(f"{SCRATCH}, map", over_splits(splits, scratch)),
            Bar(f"{SCRATCH}, paper", over_splits(splits, scratch, "all", "paper")),
        )
    return Experiment(
        "retrieval", "Retrieval with prior (`map`) and as printed in the paper (`paper`)", "",
        (
            Bar(f"{OURS}, map", over_splits(splits, ours)),
            Bar(f"{OURS}, paper", over_splits(splits, ours, "all", "paper")),
            *alone, Bar(f"{named}, map", best), Bar(f"{named}, paper", on_paper),
        ),
    )  # fmt: skip


def bins(ours: str, splits: int, start: str = "", scratch: str | None = None) -> Experiment:
    """One energy bin and two, each with and without dark-field; ``scratch`` learns from the study's own scans."""
    sets = {
        "two bins": "all",
        "one bin": "one-bin",
        "two bins, attenuation and offset": ABSORPTION,
        "one bin, attenuation and offset": "one-bin-no-dark-field",
    }
    bars = [
        Bar(f"{OURS}, {words}", over_splits(splits, ours, channels, start=start)) for words, channels in sets.items()
    ]
    if scratch:
        bars += [Bar(f"{SCRATCH}, {words}", over_splits(splits, scratch, sets[words])) for words in list(sets)[:2]]
    return Experiment("bins", "One energy bin and two", "One bin: the lower. 1-σ included.", tuple(bars))
