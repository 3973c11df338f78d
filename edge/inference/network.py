"""A bundle and the runtime that executes it, accepted only after it reproduced the bundle's golden vectors."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge.inference.bundle import ModelBundle, ModelBundleError
from edge.inference.detector import Geometry, Tile
from edge.inference.heat import Buffers, HeatStream, pooled, widest
from edge.inference.image_stream import ImageStream
from edge.inference.manifest import Graph, Manifest, Precision
from edge.inference.planes import PLANES, planes
from edge.inference.runtime import Candidate, Choice, Runtime, candidates
from firmware_bridge.scanner import Scanner
from kernels.types import F32

log = logging.getLogger("inference")

#: Largest relative difference of a lane's pixel size from the one that a network was trained on.
PIXEL_TOLERANCE = 0.02


class NotForThisLane(ModelBundleError):  # noqa: N818
    """The bundle is sound, but was made for other images than this lane's."""


class NotReproduced(ModelBundleError):  # noqa: N818
    """A runtime works, and computes something else than the bundle says."""


@dataclass(frozen=True)
class Network:
    """A network that may judge bags. ``wanted``: which of :data:`PLANES` it takes, by index."""

    bundle: ModelBundle
    runtime: Runtime
    graph: Graph
    wanted: npt.NDArray[np.intp]
    spare: Buffers = field(default_factory=list, repr=False)

    def feed(self, stream: ImageStream, tile: Tile) -> None:
        """Give ``stream`` the next columns."""
        if self._all_planes:
            stream.feed(tile)
        else:
            stream.add(planes(tile.images, tile.sigma, tile.flags)[self.wanted])

    @cached_property
    def _all_planes(self) -> bool:
        return np.array_equal(self.wanted, np.arange(len(PLANES)))

    @property
    def manifest(self) -> Manifest:
        """The bundle's manifest."""
        return self.bundle.manifest

    def stream(self, geometry: Geometry) -> ImageStream:
        """Start on a new bag; ValueError when its pixels are not those that the network knows."""
        wrong = wrong_pixels(self.manifest, geometry.row_pitch_um, geometry.grid_um)
        if wrong:
            raise ValueError(f"{self.bundle.id}: {wrong}")
        return ImageStream(self.runtime, geometry.rows, self.manifest.stride, self.manifest.halo, spare=self.spare)

    def probability(self, logit: float) -> float:
        """Calibrated probability of a target, from the bag's logit."""
        a, b = self.graph.platt
        return float(1 / (1 + np.exp(-np.clip(a * logit + b, -30, 30))))


def open_network(
    bundle: ModelBundle, choice: Choice, threads: int, scanner: Scanner, engines: Path | None = None
) -> Network:
    """Load ``bundle`` for a lane with ``scanner``; :class:`ModelBundleError` names what does not fit.

    ``engines``: folder of what was built for this machine's GPU.
    """
    manifest = bundle.manifest
    if scanner.tube_kv not in manifest.inputs.tube_kv:
        raise NotForThisLane(
            f"{bundle.origin}: trained for {manifest.inputs.tube_kv} kVp, this lane runs at {scanner.tube_kv} kVp; "
            "train one for it"
        )
    wrong = wrong_pixels(manifest, scanner.row_pitch_um, scanner.object_grid_um)
    if wrong:
        raise NotForThisLane(f"{bundle.origin}: {wrong}; train one for them")
    refused = []
    for candidate in candidates(bundle, choice, threads, scanner.rows, engines):
        try:
            network = _tried(bundle, candidate)
        except ModelBundleError as error:
            refused.append(str(error))
            continue
        for why in refused:
            log.warning("%s; %s runs instead", why, network.runtime.name)
        return network
    raise ModelBundleError("; ".join(refused))


def _tried(bundle: ModelBundle, candidate: Candidate) -> Network:
    """The network on this runtime, if it reproduces the golden vectors."""
    network = connect(bundle, candidate.open(), candidate.graph)
    try:
        check_golden(network, bundle.golden.heat[candidate.graph], bundle.golden.score[candidate.graph])
    except ModelBundleError as error:
        network.runtime.close()
        if isinstance(error, NotReproduced):
            candidate.refused(str(error))
        raise
    candidate.accepted()
    return network


def connect(bundle: ModelBundle, runtime: Runtime, precision: Precision) -> Network:
    """The graph ``precision`` of ``bundle`` on a runtime that holds it."""
    wanted = np.array([PLANES.index(name) for name in bundle.manifest.inputs.planes])
    return Network(bundle, runtime, bundle.manifest.graphs[precision], wanted)


def wrong_pixels(manifest: Manifest, row_pitch_um: float, grid_um: float) -> str:
    """What is wrong with pixels of this size; empty when the network knows them."""
    known = (manifest.inputs.row_pitch_um, manifest.inputs.grid_um)
    if all(abs(have / want - 1) <= PIXEL_TOLERANCE for have, want in zip((row_pitch_um, grid_um), known, strict=True)):
        return ""
    return (
        f"trained on pixels of {known[0]:g} × {known[1]:g} µm, this lane's are {row_pitch_um:g} × {grid_um:g} µm "
        "(scanner.row_binning, scanner.object_grid_um)"
    )


def check_golden(network: Network, heat: F32, score: F32) -> None:
    """Run the golden planes; :class:`ModelBundleError` when heat, score or their connection are not as stored."""
    where = f"{network.bundle.origin}: {network.runtime.name}"
    inputs, limit = network.bundle.golden.planes, network.graph.tolerance
    try:
        found_heat, found_score = network.runtime.run(inputs)
    except Exception as error:
        raise ModelBundleError(f"{where} failed on the golden planes ({str(error)[:200]}); export it again") from error
    for name, found, expected in (("heat", found_heat, heat), ("score", found_score, score)):
        if found.shape != expected.shape:
            raise NotReproduced(f"{where}: {name} is {found.shape} for the golden planes, {expected.shape} stored")
        worst = float(np.abs(found - expected).max())
        if not worst <= limit:  # NaN too
            raise NotReproduced(
                f"{where}: {name} differs by {worst:.3g} from the golden vectors, more than {limit:g}; "
                "this machine does not compute what was trained"
            )
    check_halo(network)
    bag = np.array([pooled(one, network.manifest.pooling).max() for one in found_heat[:, 0]])
    if not np.abs(bag - found_score[:, 0]).max() <= limit:
        raise NotReproduced(
            f"{where}: its scores are not what the manifest's pooling {network.manifest.pooling} makes of its heat"
        )


def check_halo(network: Network) -> None:
    """Judge a wide picture in tiles and in one pass; :class:`ModelBundleError` when they differ."""
    manifest, part = network.manifest, network.bundle.golden.planes[0]
    width = widest(manifest.halo, manifest.stride)
    wide = np.concatenate([part, part[..., ::-1]] * (1 + width // (2 * part.shape[2])), axis=2)[..., :width]
    rows = -(-wide.shape[1] // manifest.stride) * manifest.stride
    wide = np.pad(wide, ((0, 0), (0, rows - wide.shape[1]), (0, 0)))
    whole, _ = network.runtime.run(np.ascontiguousarray(wide[None]))
    stream = HeatStream(network.runtime, rows, manifest.stride, manifest.halo)
    stream.add(wide)
    worst = float(np.abs(stream.finish() - whole[0, 0]).max())
    if not worst <= network.graph.tolerance:
        raise NotReproduced(
            f"{network.bundle.origin}: heat of tiles differs by {worst:.3g} from that of one pass; "
            f"halo = {manifest.halo} is smaller than what the network sees"
        )
