"""Report a shipped model on bags of the evaluation seeds: nothing is chosen here.

``python -m training.evaluate --kv 80`` prints detections by kind and material, false alarms by kind, and the area
under the receiver operating curve, as a Markdown table. Everything is simulated.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence

import numpy as np

from edge.inference.model_file import ModelFile, shipped
from kernels.types import F64
from training.bags import items
from training.decide import score
from training.examined import ExaminedBag, examine_all
from training.seeds import EVALUATION

EVALUATION_BAGS = 144


def area_under_curve(targets: F64, clean: F64) -> float:
    """Probability that a bag with a target scores higher than one without (NaN when a side is empty)."""
    if not len(targets) or not len(clean):
        return float("nan")
    higher = (targets[:, None] > clean).mean() + 0.5 * (targets[:, None] == clean).mean()
    return float(higher)


def report(model: ModelFile, bags: Sequence[ExaminedBag]) -> str:
    """Markdown tables of what ``model`` does with ``bags`` at its own threshold."""
    threshold = float(np.log(model.threshold / (1 - model.threshold)))
    odds = np.array([score(model, bag) for bag in bags])
    has = np.array([bag.target is not None for bag in bags])

    def line(name: str, chosen: Callable[[ExaminedBag], bool]) -> str:
        of = np.array([chosen(bag) for bag in bags])
        hit, false = odds[of & has] >= threshold, odds[of & ~has] >= threshold
        area = area_under_curve(odds[of & has], odds[of & ~has])
        return f"| {name} | {hit.sum()} / {hit.size} | {false.sum()} / {false.size} | {area:.2f} |"

    lines = ["| items | targets found | false alarms | AUC |", "|---|---|---|---|", line("all", lambda bag: True)]
    for kind in dict.fromkeys(bag.kind for bag in bags):
        lines.append(line(kind.replace("_", " "), lambda bag, kind=kind: bag.kind == kind))  # type: ignore[misc]
    lines += ["", "| target in a bag | found | mean score |", "|---|---|---|"]
    for name in dict.fromkeys(bag.target for bag in bags if bag.target and bag.kind == "bag"):
        of = np.array([bag.target == name and bag.kind == "bag" for bag in bags])
        mean = float(np.mean(1 / (1 + np.exp(-odds[of]))))
        lines.append(f"| {name} | {(odds[of] >= threshold).sum()} / {of.sum()} | {mean:.2f} |")
    return "\n".join(lines)


def main() -> int:
    """Command line of ``python -m training.evaluate``."""
    parser = argparse.ArgumentParser(prog="python -m training.evaluate", description=__doc__)
    parser.add_argument("--kv", type=int, choices=(80, 120), default=80)
    parser.add_argument("--bags", type=int, default=EVALUATION_BAGS, help="evaluation bags (default %(default)s)")
    parser.add_argument("--skip", type=int, default=0, help="bags of the range left out: fresh ones for a new decision")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    model = shipped(arguments.kv)
    seeds = (EVALUATION[0] + arguments.skip, EVALUATION[1])
    bags = examine_all(items(seeds, arguments.bags), arguments.kv, EVALUATION[0], arguments.processes)
    print(f"{model.manifest.id} {model.manifest.version}, threshold {model.threshold:.3f}, simulated bags\n")
    print(report(model, bags))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
