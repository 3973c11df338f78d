"""Which detector judges the next bag: follows the pointers of the model folder while the lane runs.

A bundle is read, checked and tried on its golden vectors in a thread of its own while the old detector goes on. Only
what passed all of it replaces the old one; what did not leaves it as it is, and is told in log and status.
"""

from __future__ import annotations

import logging
import os
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from calibration.activation import ACTIVE
from edge.config import Config
from edge.inference.bundle import ModelBundleError
from edge.inference.detector import Geometry, ModelIdentity
from edge.inference.examination import MaterialDetector
from edge.inference.lane_detector import LaneDetector, LaneExamination
from edge.inference.model_file import ModelFile
from edge.inference.model_folder import ENGINES, NONE, SHADOW, SHIPPED, ModelFolder
from edge.inference.network import Network, NotForThisLane, open_network

log = logging.getLogger("inference")


@dataclass(frozen=True)
class RefusedModel:
    """Stands for a model that was chosen and cannot be used, where there is no other: no bag is judged."""

    name: str
    why: str
    threshold: float = 0.5

    @property
    def identity(self) -> ModelIdentity:
        """The name that was chosen; nothing ran."""
        return ModelIdentity(self.name, "", "", "")

    def open(self, geometry: Geometry) -> LaneExamination:
        """Raises :class:`ModelBundleError` with the cause, so that the bag ends as UNKNOWN."""
        raise ModelBundleError(self.why)


Judge = LaneDetector | RefusedModel


class Models:
    """The detector of a lane, and what happens when another one is chosen. ``problem`` is empty when all is well."""

    def __init__(self, config: Config, model: ModelFile, folder: ModelFolder | None = None) -> None:
        self._config = config
        self._material = material = MaterialDetector(
            model, min_area_mm2=config.inference.min_area_mm2, threshold=config.inference.threshold
        )
        self._folder = folder or ModelFolder(config.state_dir)
        self._workers = ThreadPoolExecutor(1, thread_name_prefix="models")
        self._loading: Future[Judge] | None = None
        self.problem = ""
        self._seen = self._signs()
        try:
            self.current: Judge = self._load()
        except ModelBundleError as error:
            self._refused(error)
            self.current = RefusedModel(self._folder.chosen(), str(error), material.threshold)

    def poll(self) -> bool:
        """Whether :attr:`current` has changed; call it a few times a second."""
        if self._loading is None:
            signs = self._signs()
            if signs != self._seen:
                self._seen = signs
                self._loading = self._workers.submit(self._load)
            return False
        if not self._loading.done():
            return False
        loading, self._loading = self._loading, None
        try:
            self.current = loading.result()
        except ModelBundleError as error:
            self._refused(error)
            return False
        except Exception as error:  # a file that vanished, memory: the old detector is as good as before
            self._refused(error)
            return False
        self.problem = ""
        return True

    def close(self) -> None:
        """Wait for a load under way."""
        self._workers.shutdown()

    def _refused(self, error: Exception) -> None:
        self.problem = f"model refused: {error}"
        log.error("%s", self.problem)

    def _signs(self) -> tuple[tuple[str, float], ...]:
        """What changes when a pointer is set, even to the same word."""
        signs = []
        for role in (ACTIVE, SHADOW):
            pointer = self._folder.pointer(role)
            changed = pointer.path.stat().st_mtime if pointer.path.is_file() else 0.0
            signs.append((self._folder.chosen(role), changed))
        return tuple(signs)

    def _load(self) -> LaneDetector:
        active = self._active(self._folder.in_use())
        shadow = self._shadow(self._folder.in_use(SHADOW), active)
        return LaneDetector(self._material, active, shadow, self._config.inference.threshold)

    def _active(self, name: str) -> Network | None:
        if name == NONE:
            return None
        try:
            return check_active(self._open(name), self._material)
        except NotForThisLane as error:
            if name != SHIPPED:
                raise
            log.warning("the shipped network is left out: %s", error)
            return None

    def _shadow(self, name: str, active: Network | None) -> Network | None:
        """The shadow network; one that cannot be used is left out, for a shadow must not stop anything."""
        if name == NONE:
            return None
        try:
            shadow = self._open(name)
        except ModelBundleError as error:
            log.error("shadow model left out: %s", error)
            return None
        return None if active is not None and active.bundle.id == shadow.bundle.id else shadow

    def _open(self, name: str) -> Network:
        table = self._config.inference
        threads = table.threads or min(2, os.cpu_count() or 1)
        engines = self._config.state_dir / ENGINES
        return open_network(self._folder.load(name), table.runtime, threads, self._config.scanner, engines)


def check_active(network: Network, material: MaterialDetector) -> Network:
    """``network``, if it may decide beside ``material``; :class:`ModelBundleError` otherwise."""
    rule = network.graph.fusion
    if rule is None:
        raise ModelBundleError(
            f"{network.bundle.origin}: not fused with a material discriminator, so it may only run as a shadow "
            "('darklane model shadow'); fit one with python -m training.fuse"
        )
    if rule.material_sha256 != material.identity.sha256:
        raise ModelBundleError(
            f"{network.bundle.origin}: fused with discriminator {rule.material_sha256[:12]}…, this lane has "
            f"{material.identity.id} {material.identity.sha256[:12]}…; fit the fusion again (python -m training.fuse)"
        )
    return network
