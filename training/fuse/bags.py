"""Bags of a data set through the lane's own code, as far as the fusion."""

from __future__ import annotations

from collections.abc import Sequence

from edge.inference import fusion
from edge.inference.averaged import evidence
from edge.inference.detector import Geometry, Tile
from edge.inference.examination import MaterialDetector
from edge.inference.heat import pooled
from edge.inference.network import Network
from training.dataset.scan_file import THREAT, Scan
from training.fuse.fit import SMOOTHINGS, SOFTNESS
from training.fuse.rule import Bag

#: Columns per tile; any number gives the same result.
COLUMNS = 256


def examine(
    scan: Scan, pixel_um: tuple[float, float], detector: MaterialDetector, networks: Sequence[Network]
) -> list[Bag]:
    """One bag of the data set through the lane's code, once for each of ``networks``."""
    rows, columns = scan.flags.shape[1:]
    geometry = Geometry(rows, *pixel_um)
    material = detector.open(geometry)
    streams = [network.stream(geometry) for network in networks]
    for first in range(0, columns, COLUMNS):
        part = slice(first, first + COLUMNS)
        tile = Tile(first, scan.images[..., part], scan.sigma[..., part], scan.flags[..., part])
        material.add(tile)
        for network, stream in zip(networks, streams, strict=True):
            network.feed(stream, tile)
    judgement = material.judge()
    blocks = judgement.planes
    odds = evidence(detector, judgement, SMOOTHINGS, SOFTNESS)
    target = None
    if scan.label:
        height, width = blocks.good.shape
        threat = scan.mask[: height * blocks.block_rows, : width * blocks.block_columns] == THREAT
        target = threat.reshape(height, blocks.block_rows, width, blocks.block_columns).any((1, 3))
    made = []
    for network, stream in zip(networks, streams, strict=True):
        heat = pooled(stream.finish(), network.manifest.pooling)
        made.append(Bag(fusion.heat_map(heat, network.manifest.stride, blocks), odds, target, judgement.score))
    return made
