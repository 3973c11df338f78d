"""What the networks of the studies cost: multiply-accumulates and time on one core per scan, ours beside the paper's.

``python -m training.experiments.cost --json docs/results/cost.json --page docs/results/README.md``: measures, and
puts the table into the page; ``--report-only`` makes the table again from the figures that are there. Scans, pictures,
crops and networks come from the code that the studies run. Weights are as they come (random where there are no
others), which changes neither count nor time: numbers too small for normal floats are taken as 0, as trained
networks have none.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from edge.inference.model_folder import SHIPPED, ModelFolder
from edge.inference.onnx_backend import OnnxRuntime
from edge.inference.planes import PLANES
from firmware_bridge.scanner import Scanner
from kernels.bench.machine import describe
from kernels.types import F32
from training import dataset
from training.dataset.make import make
from training.dataset.recipes import recipe
from training.experiments.cost_table import write_page
from training.experiments.plan import Study
from training.fit_network.grain import whole_cells
from training.fit_network.inputs import Store
from training.fit_network.paper import CROP_SEED, Examples
from training.fit_network.presets import LANE_WIDTH, PRESETS, TRUNKS, GrainPreset, PaperPreset, TrunkName
from training.fit_network.trunks import trunk
from training.networks.grain_net import GrainNet
from training.networks.heads import TypeOne
from training.networks.split_network import SplitNetwork

#: Columns of the bag that docs/performance.md measures the lane with; its rows are the scanner's.
BAG_COLUMNS: Final = 753
ROUNDS: Final = 5


@dataclass(frozen=True)
class Subject:
    """One network with the input of one scan. ``run`` judges it once; ``trunk`` None: ours, ``width`` of its stem.

    ``counted``: torch executes it, so that its multiply-accumulates can be counted.
    """

    name: str
    run: Callable[[], object]
    input: tuple[int, ...]
    trunk: TrunkName | None = None
    width: int | None = None
    counted: bool = True


def multiply_accumulates(run: Callable[[], object]) -> int:
    """Multiply-accumulates of the convolutions, linear layers and matrix products of ``run``.

    Pooling, normalisation, activations and ratios are not counted; the time has them.
    """
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        run()
    return int(counter.get_total_flops()) // 2  # a multiplication and an addition each


def widths() -> tuple[int, ...]:
    """Widths of our network: not pretrained, the lane's, pretrained."""
    studies = [PRESETS[name] for name in ("study1", "study1-pretrained")]
    return tuple(sorted({LANE_WIDTH, *(preset.width for preset in studies if isinstance(preset, GrainPreset))}))


def ours(planes: F32, width: int) -> Subject:
    """Our network on planes (C, rows, columns), as the studies judge a scan with it."""
    network = GrainNet(PLANES, [1.0] * len(PLANES), width).eval().to(memory_format=torch.channels_last)
    given = torch.from_numpy(whole_cells(planes))[None].to(memory_format=torch.channels_last)
    return Subject(f"ours, width {width}", lambda: network(given), tuple(given.shape), None, width)


def shipped(planes: F32) -> list[Subject]:
    """The shipped network's graphs in ONNX Runtime, on one thread."""
    with tempfile.TemporaryDirectory() as folder:
        bundle = ModelFolder(Path(folder)).load(SHIPPED)
    given = np.ascontiguousarray(whole_cells(planes)[None])
    made = []
    for precision in bundle.manifest.graphs:
        if precision != "tensorrt":
            runtime = OnnxRuntime(bundle, precision, 1)
            name = f"ours as shipped (width {LANE_WIDTH}), ONNX Runtime, {precision}"
            run = lambda runtime=runtime: runtime.run(given)  # noqa: E731 - one expression
            made.append(Subject(name, run, given.shape, None, LANE_WIDTH, counted=False))
    return made


def paper(study: Study, name: TrunkName, store: Store) -> Subject:
    """The paper's network on the first scan of ``store``: type I with one layer in study 1, split in study 2.

    The presets are those with the trunk trained too, as these are given pictures instead of kept features; what is
    calculated per scan is the same.
    """
    preset = PRESETS[f"study1-{name}-fc1-hinge-tuned" if study == "study1" else f"study2-split-{name}-tuned"]
    assert isinstance(preset, PaperPreset)
    backbone, weights = trunk(name, None, CROP_SEED)
    given = Examples(preset, store, PLANES, backbone, weights, None, "").of(0, training=False)
    # Four trunks in study 2: one in four places calculates as much and takes a quarter of the memory.
    split = preset.network == "split"
    network: nn.Module = SplitNetwork(lambda: backbone) if split else TypeOne(backbone, preset.layers)
    network.eval()
    return Subject(name, lambda: network(given), tuple(given.shape), name)


def measure(subjects: Sequence[Subject], rounds: int) -> list[dict[str, Any]]:
    """Counts, and medians over ``rounds`` of the seconds that each takes, all of them in turn in every round."""
    counts = [multiply_accumulates(subject.run) if subject.counted else None for subject in subjects]
    wall: list[list[float]] = [[] for _ in subjects]
    processor: list[list[float]] = [[] for _ in subjects]
    with torch.no_grad():
        for turn in range(rounds + 1):
            order = range(len(subjects))
            for k in order if turn % 2 else reversed(order):
                began = time.perf_counter(), time.process_time()
                subjects[k].run()
                if turn:  # the first one warms up
                    wall[k].append(time.perf_counter() - began[0])
                    processor[k].append(time.process_time() - began[1])
    return [
        {
            "network": subject.name, "trunk": subject.trunk, "width": subject.width, "input": list(subject.input),
            "multiply_accumulates": count,
            "seconds": round(statistics.median(wall[k]), 4),
            "processor_seconds": round(statistics.median(processor[k]), 4),
        }
        for k, (subject, count) in enumerate(zip(subjects, counts, strict=True))
    ]  # fmt: skip


def study(which: Study, folder: Path, rounds: int, trunks: Sequence[TrunkName] = TRUNKS) -> dict[str, Any]:
    """Every network on the first scan of a study, made in ``folder``."""
    make(recipe(which, scans=2, map_only=True), folder)
    scans = dataset.open(folder)
    store = Store(scans)
    planes = store[0].chosen(PLANES)
    subjects = [ours(planes, width) for width in widths()]
    subjects += [paper(which, name, store) for name in trunks]
    found = measure([*subjects, *shipped(planes)], rounds)
    return {"scan": scans.entries[0].file, "pixels": list(planes.shape[1:]), "networks": found}


def bag(rounds: int, columns: int = BAG_COLUMNS) -> dict[str, Any]:
    """The lane's network on a whole bag at once; the lane takes it in tiles, whose margins it calculates twice."""
    rng = np.random.default_rng(1)
    planes = rng.standard_normal((len(PLANES), Scanner().rows, columns), dtype=np.float32)
    found = measure([ours(planes, LANE_WIDTH), *shipped(planes)], rounds)
    return {"scan": "random planes", "pixels": list(planes.shape[1:]), "networks": found}


def main(given: Sequence[str] | None = None) -> int:
    """Command line of ``python -m training.experiments.cost``."""
    parser = argparse.ArgumentParser(prog="python -m training.experiments.cost", description=__doc__)
    parser.add_argument("--json", type=Path, default=Path("docs/results/cost.json"), help="file of the figures")
    parser.add_argument("--page", type=Path, help="page to put the table into, beside the reports of the studies")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="rounds of the timing")
    parser.add_argument("--report-only", action="store_true", help="measure nothing, take the figures from --json")
    args = parser.parse_args(given)
    if not args.report_only:
        torch.set_num_threads(1)
        torch.set_flush_denormal(True)
        torch.manual_seed(1)
        figures: dict[str, Any] = {
            "what": "multiply-accumulates and seconds per scan; fp32, one thread, medians, all networks in turn",
            "machine": describe(),
            "software": {"torch": torch.__version__, "onnxruntime": onnxruntime.__version__},
            "rounds": args.rounds,
        }
        with tempfile.TemporaryDirectory() as folder:
            for which in ("study1", "study2"):
                figures[which] = study(which, Path(folder) / which, args.rounds)
        figures["lane"] = bag(args.rounds)
        args.json.write_text(json.dumps(figures, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    if args.page:
        write_page(args.page, args.json)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
