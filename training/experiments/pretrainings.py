"""What is run to compare small pretrainings of our network with each other.

All are judged alike: as they came, on scenes and a scanner that none of them has met.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from training.dataset.scan_file import RetrievalName
from training.dataset.scenes import EXPLOSIVES, HARMLESS
from training.experiments.plan import ABSORPTION, BETWEEN, OURS, WITHOUT, bins
from training.experiments.runs import Bar, Experiment, Run, over_splits

#: Beginning of the preset's name.
SMALL: Final = "study1-small"
#: Name of what learns from a few numbers of the sample (:mod:`training.experiments.ratios`).
RATIOS: Final = "study1-ratios"
NUMBERS: Final = "ratios of the sample"
#: Its start where it learns from the split's own scans, which have both retrievals.
OWN: Final = "own"
RETRIEVALS: Final[tuple[RetrievalName, ...]] = ("map", "paper")
#: Subfolders of the weights: another seed; a short training; a short one without a material; fewer scans.
AGAIN: Final = "seed-1"
SHORT_STEPS: Final = 500
SHORT: Final = f"batches-{SHORT_STEPS}"
FEWER: Final = {
    "scans-300": "300 scans (30 scanners)",
    "scans-150": "150 scans (15 scanners)",
    "scans-60": "60 scans (6 scanners)",
}
_BETWEEN: Final = {f", {words}": channels for words, channels in BETWEEN.items() if channels.startswith(WITHOUT)}
SHORTER: Final = {SHORT: f"{SHORT_STEPS} batches", "batches-250": "250 batches"}


def plan(ours: str, splits: int) -> list[Experiment]:
    """All experiments with the preset ``ours``."""
    return [
        *_bins(ours, splits, "", ""),
        *_bins(ours, splits, AGAIN, " (trainings of another seed)"),
        Experiment(
            "refraction", "Without refraction", "",
            (
                Bar(OURS, over_splits(splits, ours)),
                Bar(f"{OURS}, without refraction only", over_splits(splits, ours, "no-refraction")),
            ),
        ),
        Experiment(
            "dark_field", "With and without dark-field", "Without: the attenuation images of both bins only.",
            tuple(
                Bar(f"{label}{words}", over_splits(splits, preset, channels))
                for label, preset in ((OURS, ours), (NUMBERS, RATIOS))
                for words, channels in {"": "all", ", without": WITHOUT, **_BETWEEN}.items()
            ),
        ),
        *_ratios(splits),
        _sizes(ours, splits),
        Experiment(
            "leave_one_out", "Materials never seen in training",
            "Tested on every scan of the material, and on the other label's scans of split 0. Our network after "
            f"{SHORT_STEPS} batches; neither weights nor calibration have seen the material that is left out. Learnt: "
            "the calibration has not seen it, the weights have.",
            tuple(
                Bar(f"{label}, {name} {words}", (Run(preset, part=f"without-{name}", start=start),))
                for label, preset, usual in ((NUMBERS, RATIOS, ""), (OURS, ours, SHORT))
                for name in (*EXPLOSIVES, *HARMLESS)
                for words, start in (("left out", f"without-{name}"), ("learnt", usual))
            ),
        ),
    ]  # fmt: skip


def _bins(ours: str, splits: int, start: str, words: str) -> list[Experiment]:
    both = bins(ours, splits, start)
    one = tuple(bar for bar in both.bars if bar.runs[0].channels.startswith("one-bin"))
    end = f"_{start}" if start else ""
    return [
        replace(both, name=both.name + end, title=both.title + words),
        Experiment(f"one_bin{end}", f"One energy bin: what dark-field is worth{words}", "", one),
    ]


def _ratios(splits: int) -> list[Experiment]:
    four, one = (
        [replace(bar, label=_of_numbers(bar.label)) for bar in made.bars] for made in _bins(RATIOS, splits, "", "")
    )
    for channels, more in (("all", ""), (WITHOUT, ", without"), (ABSORPTION, ", attenuation and offset")):
        for start, words in FEWER.items():
            four.append(Bar(f"{NUMBERS}{more}, {words}", over_splits(splits, RATIOS, channels, start=start)))
    note = (
        "Medians over the sample of each plane over its attenuation, the place of the sample given; a small network of "
        "these numbers, trained on the same scans as ours."
    )
    return [
        Experiment("ratios", "What ratios alone tell, without a picture", note, tuple(four)),
        Experiment("one_bin_ratios", "One energy bin: what dark-field is worth to ratios", "", tuple(one)),
        Experiment(
            "retrieval_ratios",
            "Retrieval with prior (`map`) and as printed (`paper`)",
            "Learnt in each split.",
            tuple(
                Bar(f"{NUMBERS}, {retrieval}", over_splits(splits, RATIOS, retrieval=retrieval, start=OWN))
                for retrieval in RETRIEVALS
            ),
        ),
    ]


def _of_numbers(label: str) -> str:
    return label.replace(OURS, NUMBERS, 1)


def _sizes(ours: str, splits: int) -> Experiment:
    bars = []
    for channels, more in (("all", ""), (WITHOUT, ", without"), (ABSORPTION, ", attenuation and offset")):
        bars.append(Bar(f"{OURS}{more}", over_splits(splits, ours, channels)))
        for start, words in (FEWER | SHORTER).items():
            bars.append(Bar(f"{OURS}{more}, {words}", over_splits(splits, ours, channels, start=start)))
    note = "Fewer scans and scanners, or fewer batches, than the first row's."
    return Experiment("pretraining", "Learning curve of the pretraining", note, tuple(bars))
