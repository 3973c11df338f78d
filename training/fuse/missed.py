"""Which targets of a data set a fused network misses, and which of these physics hides.

``python -m training.fuse.missed --data FOLDER``: the shipped network, or that of ``--bundle``, as it decides in the
lane. On the bags that its fusion was fitted with this is not cross-validated. All is simulated.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from calibration.signing import KeyStore
from edge.config import Inference
from edge.inference.bundle import ModelBundle, load
from edge.inference.examination import MaterialDetector
from edge.inference.fusion import probability
from edge.inference.manifest import Fusion
from edge.inference.model_file import shipped
from edge.inference.model_folder import SHIPPED, ModelFolder
from edge.inference.network import connect
from edge.inference.onnx_backend import OnnxRuntime
from training import dataset
from training.dataset.manifest import Entry
from training.fuse.bags import examine
from training.fuse.rule import Bag, Rule


@dataclass(frozen=True)
class Judged:
    """A bag and the probability that decides: on its target where it has one, else the highest anywhere."""

    entry: Entry
    score: float


def score(bag: Bag, rule: Fusion) -> float:
    """The probability that decides."""
    level = Rule(rule.heat_weight, rule.material_weight, rule.uncovered, rule.bias).level(bag)
    return float(probability(np.array([level]))[0])


def judged(bundle: ModelBundle, scans: dataset.Scans) -> list[Judged]:
    """All bags of ``scans`` under the graph that ``bundle`` runs on a CPU; ValueError for one without a fusion."""
    precision = bundle.manifest.precision
    rule = bundle.manifest.graphs[precision].fusion
    if rule is None:
        raise ValueError(f"{bundle.id}: has no fusion, so nothing says what it misses; run training.fuse first")
    material = MaterialDetector(
        shipped(int(scans.manifest.recipe.scanner["tube_kv"])), min_area_mm2=Inference().min_area_mm2
    )
    network = connect(bundle, OnnxRuntime(bundle, precision, 1), precision)
    made = []
    for entry, scan in zip(scans.entries, scans, strict=True):
        made.append(Judged(entry, score(examine(scan, scans.manifest.pixel_um, material, [network])[0], rule)))
        if len(made) % 20 == 0:
            print(f"{len(made)} of {len(scans)} bags", flush=True)
    return made


def report(bags: Sequence[Judged], threshold: float) -> str:
    """Markdown: the targets by material, and every one that is missed at ``threshold``."""
    targets = [bag for bag in bags if bag.entry.label]
    clean = [bag for bag in bags if not bag.entry.label]
    missed = sorted((bag for bag in targets if bag.score < threshold), key=lambda bag: bag.score)
    lines = [
        f"Missed {len(missed)} of {len(targets)} targets, {_hidden(missed)} of them hidden; found "
        f"{_hidden(targets) - _hidden(missed)} of {_hidden(targets)} hidden ones; "
        f"{sum(bag.score >= threshold for bag in clean)} of {len(clean)} bags without one alarm "
        f"(threshold {threshold:.3f}).",
        "",
        "| material | targets | missed | hidden | hidden and missed | median thickness of all, missed |",
        "|---|---|---|---|---|---|",
    ]
    for material in sorted({str(bag.entry.material) for bag in targets}):
        of = [bag for bag in targets if str(bag.entry.material) == material]
        gone = [bag for bag in missed if str(bag.entry.material) == material]
        lines.append(
            f"| {material} | {len(of)} | {len(gone)} | {_hidden(of)} | {_hidden(gone)} | {_thick(of)}, {_thick(gone)} |"
        )
    lines += ["", "| missed | in | material | thickness | hidden | probability |", "|---|---|---|---|---|---|"]
    for bag in missed:
        e = bag.entry
        where = f"{Path(e.file).stem} | {e.item} | {e.material} | {_mm(e.thickness_mm)}"
        lines.append(f"| {where} | {'yes' if e.hidden else 'no'} | {bag.score:.3f} |")
    return "\n".join(lines)


def _hidden(bags: Iterable[Judged]) -> int:
    return sum(bag.entry.hidden for bag in bags)


def _thick(bags: Sequence[Judged]) -> str:
    known = [bag.entry.thickness_mm for bag in bags if bag.entry.thickness_mm is not None]
    return _mm(float(np.median(known)) if known else None)


def _mm(thickness: float | None) -> str:
    return "–" if thickness is None else f"{thickness:.1f} mm"


def main() -> int:
    """Command line of ``python -m training.fuse.missed``."""
    parser = argparse.ArgumentParser(prog="python -m training.fuse.missed", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="data set of the lane")
    parser.add_argument("--bundle", type=Path, help="a fused bundle; default: the one that ships")
    parser.add_argument("--keys", type=Path, help="folder of the keys; default: keys beside the bundle")
    given = parser.parse_args()
    if given.bundle is None:
        bundle = ModelFolder(Path("lane-run")).load(SHIPPED)
    else:
        bundle = load(given.bundle, KeyStore(given.keys or given.bundle.parent / "keys"))
    bags = judged(bundle, dataset.open(given.data))
    rule = bundle.manifest.graphs[bundle.manifest.precision].fusion
    assert rule is not None  # judged() has refused it otherwise
    print(report(bags, rule.threshold))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
