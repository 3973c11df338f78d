"""Engines of a bundle: built on the device, kept, and kept only after the golden vectors.

Nothing here has run on a GPU: tests and CI have none. What was checked instead is in
docs/reference/gpu-checks.md.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from pathlib import Path

from edge.inference import engine_cache
from edge.inference.bundle import ModelBundle, ModelBundleError
from edge.inference.engine_cache import Key, StaleFile
from edge.inference.heat import TILE, widest
from edge.inference.manifest import Manifest, Precision
from edge.inference.tensorrt_backend import TensorRtRuntime
from edge.inference.tensorrt_build import LADDER, Arithmetic, Shapes, build
from edge.inference.tensorrt_device import Device, TensorRtMissing

log = logging.getLogger("inference")


class EngineCandidate:
    """One engine of a bundle: from the cache, or built. Satisfies :class:`edge.inference.runtime.Candidate`."""

    def __init__(
        self, bundle: ModelBundle, device: Device, graph: Precision, arithmetic: Arithmetic, shapes: Shapes,
        folder: Path | None,
    ) -> None:  # fmt: skip
        self.graph = graph
        self._bundle, self._device, self._arithmetic, self._shapes = bundle, device, arithmetic, shapes
        self._folder = folder
        self._name = f"{bundle.manifest.graphs[graph].sha256[:16]}-{arithmetic}"
        self._fresh = b""

    @property
    def key(self) -> Key:
        """All that decides whether an engine may be used."""
        digest = self._bundle.manifest.graphs[self.graph].sha256
        return {**self._device.key, "graph": digest, "arithmetic": self._arithmetic, "shapes": str(self._shapes)}

    def open(self) -> TensorRtRuntime:
        """The kept engine, or one that is built now; an engine that was refused here before is not built again."""
        where = f"{self._bundle.origin}: tensorrt-{self._arithmetic}"
        told = self._kept("refused")
        if told is not None:
            raise ModelBundleError(f"{where} failed the golden vectors on this device before ({told.decode()})")
        kept = self._kept("engine")
        if kept is not None:
            try:
                return self._runtime(kept)
            except ModelBundleError as error:
                log.warning("%s; it is built again", error)
        try:
            self._fresh = self._built()
            return self._runtime(self._fresh)
        except ModelBundleError as error:
            raise ModelBundleError(f"{where}: {error}") from error

    def accepted(self) -> None:
        """Keep an engine that was built now."""
        if self._fresh:
            self._drop("refused")  # of another version, or it would not have been built
            self._keep("engine", self.key, self._fresh)
        self._fresh = b""

    def refused(self, why: str) -> None:
        """Drop the engine. One that was built now is remembered: it would take minutes at every start to refuse it.

        One that was good before is only dropped: something else has changed, and the next start builds it again.
        """
        self._drop("engine")
        if self._fresh:
            self._keep("refused", self.key, why.encode())
        self._fresh = b""

    def _runtime(self, engine: bytes) -> TensorRtRuntime:
        return TensorRtRuntime(self._device, engine, self._arithmetic, self._shapes, self._bundle.manifest.stride)

    def _built(self) -> bytes:
        log.warning(
            "building the %s engine for %s on %s with TensorRT %s: this takes minutes, once",
            self._arithmetic, self._bundle.id, self._device.gpu, self._device.trt.__version__,
        )  # fmt: skip
        began = time.monotonic()
        timings = self._kept("timings", self._device.key) or b""
        with self._device.current():
            engine, timings = build(
                self._device.trt, self._device.log, self._bundle.graph(self.graph), self._shapes, self._arithmetic,
                timings,
            )  # fmt: skip
        self._keep("timings", self._device.key, timings)
        log.info("engine of %.1f MB built in %.0f s", len(engine) / 1e6, time.monotonic() - began)
        return engine

    def _path(self, kind: str) -> Path:
        assert self._folder is not None
        return self._folder / ("timings" if kind == "timings" else f"{self._name}.{kind}")

    def _kept(self, kind: str, key: Key | None = None) -> bytes | None:
        if self._folder is None:
            return None
        try:
            return engine_cache.load(self._path(kind), key or self.key)
        except StaleFile as error:
            log.warning("%s; it is made again", error)
            return None

    def _drop(self, kind: str) -> None:
        if self._folder is not None:
            try:
                self._path(kind).unlink(missing_ok=True)
            except OSError as error:
                log.warning("%s cannot be removed (%s)", self._path(kind), error)

    def _keep(self, kind: str, key: Key, content: bytes) -> None:
        if self._folder is None:
            return
        try:
            engine_cache.store(self._path(kind), key, content)
        except OSError as error:
            log.warning("%s cannot be kept (%s): it is made again at the next start", self._path(kind), error)


def engines_for(bundle: ModelBundle, device: Device, rows: int, folder: Path | None) -> Sequence[EngineCandidate]:
    """Every engine that may be made of ``bundle``, best first: of the Q/DQ graph, or of fp32 where there is none."""
    graph: Precision = "tensorrt" if "tensorrt" in bundle.manifest.graphs else "fp32"
    if graph not in bundle.manifest.graphs:
        raise TensorRtMissing(
            f"{bundle.origin} has no graph for it ('tensorrt' or 'fp32'); export it again", partly=True
        )
    shapes = shapes_of(bundle.manifest, rows, bundle.golden.planes.shape[2:])
    return [EngineCandidate(bundle, device, graph, each, shapes, folder) for each in LADDER[graph]]


def shapes_of(manifest: Manifest, rows: int, golden: tuple[int, ...]) -> Shapes:
    """What the lane gives a network: tiles of ``rows``, a short last one, and what the checks at its start need."""
    stride = manifest.stride

    def whole(size: int) -> int:
        return -(-size // stride) * stride

    most = whole(max(rows, golden[0])), whole(max(widest(manifest.halo, stride), golden[1]))
    usual = whole(rows), whole(TILE) + 2 * manifest.halo
    return Shapes(len(manifest.inputs.planes), (2 * stride, 2 * stride), usual, most)
