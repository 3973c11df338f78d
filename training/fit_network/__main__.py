"""``python -m training.fit_network``: trains our network on a data set and writes a signed model bundle.

The data set is made first where it is missing. Interrupted, the same command goes on from where it was. Same seeds,
thread count and machine: the same weights. Everything it learns from is simulated.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from dataclasses import replace
from pathlib import Path

import torch

from calibration.signing import KeyStore
from training import dataset
from training.dataset.make import make as make_dataset
from training.dataset.manifest import MANIFEST
from training.dataset.recipes import recipe
from training.fit_network import bundle, grain, loop, machine
from training.fit_network.channels import CHANNELS, planes_of
from training.fit_network.inputs import Store
from training.fit_network.presets import PRESETS, GrainPreset, preset
from training.fit_network.start import load


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    ours = [name for name, one in PRESETS.items() if isinstance(one, GrainPreset)]
    parser = argparse.ArgumentParser(prog="python -m training.fit_network", description=__doc__)
    parser.add_argument("preset", choices=ours)
    parser.add_argument("--data", type=Path, required=True, help="folder of the data set, made if it is missing")
    parser.add_argument("--out", type=Path, required=True, help="the bundle is written to OUT/<id>, checkpoints to OUT")
    parser.add_argument("--keys", type=Path, help="folder of the signing key, made if it is missing (default OUT/keys)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--channels", choices=tuple(CHANNELS), default="all")
    parser.add_argument("--threads", type=int, default=1, help="results are the same only for the same number")
    parser.add_argument("--steps", type=int, help="fewer or more than the preset has")
    parser.add_argument("--loaders", type=int, help="processes that prepare batches; any number gives the same ones")
    parser.add_argument("--start", type=Path, help="folder of the weights that a pretrained preset goes on from")
    parser.add_argument("--model-version", default="1.0.0", help="what the manifest says")
    parser.add_argument("--note", default="", help="a sentence for the manifest's description")
    given = parser.parse_args(arguments)
    torch.set_num_threads(given.threads)
    chosen = preset(given.preset)
    assert isinstance(chosen, GrainPreset)
    # Each graph of a bundle has a calibration of its own, on scans that are held back for it.
    chosen = replace(chosen, folds=0, steps=given.steps or chosen.steps)
    machine.use_loaders(given.loaders)
    if chosen.pretrained != (given.start is not None):
        parser.error(f"preset {chosen.name} and --start: give the folder with a '-pretrained' preset, and only there")
    try:
        scans = _scans(given.data, given.preset.split("-")[0])
        before = load(given.start, given.channels, scans) if given.start else None
        split = scans.manifest.splits[0]
        store = Store(scans)
        planes, save = planes_of(given.channels), given.out / "training.pt"
        trained = grain.fit(chosen, store, split.train, planes, given.seed, save, _say, before)
        origin = f"Went on from {before.source.source}." if before else ""
        about = bundle.About(
            name=f"grain-{given.preset}",
            version=given.model_version,
            command=_command(given),
            description=" ".join(
                filter(None, ("simulated bags of this repository's emulator, no measurements.", origin, given.note))
            ),
            metrics={"seed": given.seed, "steps": chosen.steps, "simulated": True},
        )
        path = bundle.make(trained, store, split.test, about, given.out, KeyStore(given.keys or given.out / "keys"))
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        return 130
    print(f"{path}: {sum(file.stat().st_size for file in path.iterdir()) / 1e6:.2f} MB")
    for line in (path / "manifest.json").read_text(encoding="utf-8").splitlines():
        if any(key in line for key in ("recall", "false_positive_rate", "area_under_curve", "precision")):
            print(line.strip())
    return 0


def _scans(folder: Path, kind: str) -> dataset.Scans:
    if not (folder / MANIFEST).is_file():
        print(f"{folder}: making the data set first", flush=True)
        wanted = recipe("study1" if kind == "study1" else "study2" if kind == "study2" else "lane")
        make_dataset(wanted, folder, workers=2, progress=lambda done, of: print(f"scan {done} of {of}", flush=True))
    return dataset.open(folder)


def _command(given: argparse.Namespace) -> str:
    """What to type to get the same network; folders are the reader's own."""
    words = ["python", "-m", "training.fit_network", given.preset, "--data", "DATA", "--out", "OUT"]
    words += ["--seed", str(given.seed), "--channels", given.channels, "--threads", str(given.threads)]
    words += ["--steps", str(given.steps)] if given.steps else []
    return shlex.join(words + (["--start", "START"] if given.start else []))


def _say(progress: loop.Progress) -> None:
    print(f"{progress.step} / {progress.steps}  loss {progress.loss:.4f}  {progress.seconds:.0f} s", flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
