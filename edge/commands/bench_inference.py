"""``darklane bench inference``: the network in the lane beside bare ONNX Runtime, and what is left when a bag ends."""

from __future__ import annotations

import json
import os
import statistics
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.table import Table

from edge.archive.reader import BagFile, BagFileError
from edge.commands import options
from edge.commands.options import ConfigOption, StateDirOption, configuration, fail
from edge.config import Config
from edge.inference.bundle import ModelBundle, ModelBundleError
from edge.inference.detector import Geometry, Tile
from edge.inference.examination import MaterialDetector
from edge.inference.heat import aligned_zeros
from edge.inference.lane_detector import LaneDetector
from edge.inference.manifest import Precision
from edge.inference.model_file import shipped
from edge.inference.model_folder import SHIPPED, ModelFolder
from edge.inference.network import Network, connect
from edge.inference.onnx_backend import OnnxRuntime
from edge.inference.planes import PLANES, write_planes
from edge.messages import CHANNELS
from kernels.types import F32

#: Columns of a slab, as the readout sends them.
SLAB = 32
LANE, BARE = "lane, images to heat", "bare ONNX Runtime, the same tiles"
MAKING = "making the planes alone"


def inference(
    bag: Annotated[Path, typer.Argument(help="An archived bag, <state_dir>/archive/*.h5.")],
    model: Annotated[
        str, typer.Option("--model", help="Id of a network, the beginning of one, or 'shipped'.")
    ] = SHIPPED,
    config: ConfigOption = None,
    state_dir: StateDirOption = None,
    repeats: Annotated[int, typer.Option("--repeats", min=1, help="Rounds; each measures everything once.")] = 5,
    threads: Annotated[int, typer.Option("--threads", min=1, help="Of the network.")] = 1,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures to this file.")] = None,
) -> None:
    """Judge one archived bag again and again: lane against bare ONNX Runtime, 8 bit against 32, time after the end."""
    settings = configuration(config, state_dir)
    try:
        folder = ModelFolder(settings.state_dir)
        bundle = folder.load(folder.find(model))
        tiles, geometry = _tiles(bag)
    except (ModelBundleError, BagFileError) as error:
        fail(str(error), 1)
    figures = measure(bundle, tiles, geometry, settings, repeats, threads)
    _report(figures)
    if json_file is not None:
        json_file.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def measure(
    bundle: ModelBundle, tiles: list[Tile], geometry: Geometry, settings: Config, repeats: int, threads: int
) -> dict[str, Any]:
    """Medians over ``repeats`` rounds, s, by the wall clock and by the processor's; what is compared runs in turn.

    On a busy machine the wall clock measures the neighbours; the processor's time is that of all our threads.
    """
    networks: dict[Precision, Network] = {
        p: connect(bundle, OnnxRuntime(bundle, p, threads), p) for p in bundle.manifest.graphs if p != "tensorrt"
    }
    first = networks[bundle.manifest.precision]
    recorder = _Recorder(first.runtime)
    _heat(connect(bundle, recorder, bundle.manifest.precision), geometry, tiles)
    run = recorder.tiles
    wall: dict[str, list[float]] = {}
    processor: dict[str, list[float]] = {}

    def now() -> tuple[float, float]:
        return time.perf_counter(), time.process_time()

    def time_of(name: str, since: tuple[float, float]) -> None:
        wall.setdefault(name, []).append(time.perf_counter() - since[0])
        processor.setdefault(name, []).append(time.process_time() - since[1])

    def lane(precision: Precision, network: Network) -> None:
        began = now()
        _heat(network, geometry, tiles)
        time_of(f"{precision}: {LANE}", began)

    def bare(precision: Precision, network: Network) -> None:
        session = _session(network)
        began = now()
        for tile in run:
            session.run(["heat", "score"], {"planes": tile})
        time_of(f"{precision}: {BARE}", began)

    material = MaterialDetector(shipped(settings.scanner.tube_kv), min_area_mm2=settings.inference.min_area_mm2)
    whole = _room(geometry.rows, sum(t.flags.shape[2] for t in tiles))
    for turn in range(repeats):
        for precision, network in networks.items():
            # Each of them finds the caches as the other left them every second time.
            for one in (lane, bare) if turn % 2 == 0 else (bare, lane):
                one(precision, network)
        began = now()
        write_planes([(t.images, t.sigma, t.flags) for t in tiles], whole)
        time_of(MAKING, began)
        for name, active in (("discriminator alone", None), ("network and discriminator", first)):
            if active is not None and active.graph.fusion is None:
                detector = LaneDetector(material, None, active)
            else:
                detector = LaneDetector(material, active)
            examination = detector.open(geometry)
            for t in tiles[:-1]:
                examination.add(t)
            began = now()
            examination.add(tiles[-1])
            examination.finish()
            time_of(f"after the last slab: {name}", began)
    return {
        "model": bundle.id,
        "rows": geometry.rows,
        "columns": sum(t.flags.shape[2] for t in tiles),
        "threads": threads,
        "repeats": repeats,
        "cores": os.cpu_count(),
        "load_average": os.getloadavg()[0],
        "default": bundle.manifest.precision,
        "seconds": {name: statistics.median(values) for name, values in wall.items()},
        "processor_seconds": {name: statistics.median(values) for name, values in processor.items()},
        "of_bare": {p: _shares(wall, p) for p in networks},
        "of_bare_processor": {p: _shares(processor, p) for p in networks},
    }


def _shares(times: dict[str, list[float]], precision: Precision) -> tuple[float, float]:
    """How far the lane comes beside the bare runtime, and beside it with the making of its input: medians of rounds."""
    rounds = list(zip(times[f"{precision}: {BARE}"], times[MAKING], times[f"{precision}: {LANE}"], strict=True))
    return (
        statistics.median(bare / lane for bare, _, lane in rounds),
        statistics.median((bare + making) / lane for bare, making, lane in rounds),
    )


class _Recorder:
    """A runtime that keeps what it was asked to run."""

    def __init__(self, runtime: Any) -> None:
        self._runtime = runtime
        self.name = runtime.name
        self.tiles: list[F32] = []

    def run(self, stack: F32) -> tuple[F32, F32]:
        """Pass on and keep."""
        kept = aligned_zeros(stack.size).reshape(stack.shape)
        kept[...] = stack  # the lane writes the next tile over it
        self.tiles.append(kept)
        found: tuple[F32, F32] = self._runtime.run(stack)
        return found

    def close(self) -> None:
        """Nothing of its own."""


def _heat(network: Network, geometry: Geometry, tiles: list[Tile]) -> F32:
    """Heat of the bag as the lane computes it, from its images slab by slab."""
    stream = network.stream(geometry)
    for tile in tiles:
        network.feed(stream, tile)
    return stream.finish()


def _room(rows: int, columns: int) -> F32:
    """Planes of a bag, slabs in whole cache lines as a tile of the lane has them."""
    width = -(-columns // SLAB) * SLAB
    return aligned_zeros(len(PLANES) * rows * width).reshape(len(PLANES), rows, width)


def _session(network: Network) -> Any:
    """The bare session inside."""
    assert isinstance(network.runtime, OnnxRuntime)
    return network.runtime.session


def _tiles(path: Path) -> tuple[list[Tile], Geometry]:
    """The bag's images as the retrieval sent them."""
    with BagFile(path) as file:
        geometry = file.geometry
        if geometry is None or not file.has_images or not geometry.columns:
            raise BagFileError(f"{path}: holds no images; give another bag")
        images, sigma = (
            np.stack([[read(channel, b) for b in (0, 1)] for channel in CHANNELS])
            for read in (file.channel, file.channel_sigma)
        )
        flags = np.stack([file.flags(b) for b in (0, 1)])
    tiles = []
    for first in range(0, geometry.columns, SLAB):
        part = slice(first, first + SLAB)
        cut = [np.ascontiguousarray(array[..., part]) for array in (images, sigma)]
        tiles.append(Tile(first, cut[0], cut[1], np.ascontiguousarray(flags[..., part])))
    return tiles, Geometry(geometry.rows, geometry.row_pitch_um, geometry.grid_um)


def _report(figures: dict[str, Any]) -> None:
    console = options.console()
    table = Table(
        title=f"{figures['model']}, {figures['rows']} × {figures['columns']} pixels, {figures['threads']} thread(s), "
        f"medians of {figures['repeats']}"
    )
    table.add_column("what")
    table.add_column("wall clock, ms", justify="right")
    table.add_column("processor, ms", justify="right")
    for name, median in figures["seconds"].items():
        table.add_row(name, f"{1e3 * median:.0f}", f"{1e3 * figures['processor_seconds'][name]:.0f}")
    console.print(table)
    for clock, key, shares in (
        ("wall clock", "seconds", "of_bare"),
        ("processor", "processor_seconds", "of_bare_processor"),
    ):
        told = [
            f"{precision} in the lane at {alone:.3f} of bare ONNX Runtime, {made:.3f} with the making of its input"
            for precision, (alone, made) in figures[shares].items()
        ]
        seconds = figures[key]
        if f"int8: {BARE}" in seconds and f"fp32: {BARE}" in seconds:
            told.append(f"int8 {seconds[f'fp32: {BARE}'] / seconds[f'int8: {BARE}']:.2f} times as fast as fp32")
        console.print(f"by the {clock}: {'; '.join(told)}", highlight=False)
    console.print(f"load average {figures['load_average']:.1f} on {figures['cores']} cores", highlight=False)
