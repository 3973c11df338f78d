"""The trainer that experiments use: our networks and the paper's, from :mod:`training.fit_network`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from training.dataset import Scans
from training.dataset.manifest import Split
from training.experiments.runner import Outcome, Trainer
from training.experiments.runs import Run
from training.fit_network import machine, train
from training.fit_network.loop import Report
from training.fit_network.presets import GrainPreset, Preset, preset
from training.fit_network.textures import find as find_textures
from training.fit_network.train import Kept


def preset_of(name: str) -> Preset:
    """The preset ``name``; ValueError for unknown ones.

    ``NAME@STEPS`` is our network trained for so many batches; 0 takes a pretrained one as it came.
    """
    base, _, steps = name.partition("@")
    found = preset(base)
    if not steps:
        return found
    if not isinstance(found, GrainPreset) or not steps.isdecimal() or int(steps) < (0 if found.pretrained else 1):
        raise ValueError(f"preset {name!r}: use NAME or NAME@STEPS, the latter for our networks only")
    return replace(found, name=name, steps=int(steps))


def trainer(
    report: Callable[[Run], Report] | None = None, weights: Path | None = None, start: Path | None = None,
    loaders: int | None = None, textures: Path | None = None,
) -> Trainer:  # fmt: skip
    """A trainer that tells ``report`` of every run how far it is.

    ``weights``: file or folder of the trunks' weights; ``textures``: folder of the Describable Textures, for type II;
    ``start``: folder of what pretrained presets go on from.
    ``loaders``: processes that prepare batches; any number gives the same ones.
    TextureError at once for a folder that does not fit.
    """
    machine.use_loaders(loaders)
    if textures is not None:
        find_textures(textures)
    kept: Kept = {}

    def made(run: Run, scans: Scans, split: Split, seed: int, keep: Path) -> Outcome:
        checkpoint = keep / f"{run.name}.pt"
        chosen = preset_of(run.preset)
        result = train(
            chosen,
            scans,
            split,
            seed,
            run.channels,
            retrieval=run.retrieval,
            weights=weights,
            textures=textures,
            start=start / run.start if start and run.start else start,
            kept=None if run.timed else kept,
            # Planes of the whole data set lie beside it; a timed run makes everything itself.
            cache=keep / "planes" if run.timed else None,
            save=checkpoint,
            report=None if report is None else report(run),
        )
        checkpoint.unlink(missing_ok=True)
        source = result.weights
        return Outcome(
            scores=result.scores,
            settings=str(chosen),
            weights=f"{source.source} (sha256 {source.sha256[:16]})" if source.sha256 else source.source,
            metrics=result.metrics,
            seconds=float(result.metrics["test_s"]),
        )

    return made
