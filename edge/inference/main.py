"""The inference service: image slabs in, one assessment per bag out."""

from __future__ import annotations

import sys
import time

import zmq

from edge.bus import Bus
from edge.config import Config
from edge.inference.bundle import ModelBundleError
from edge.inference.engine import InferenceEngine
from edge.inference.lane_detector import identity_of
from edge.inference.model_file import ModelError, shipped
from edge.inference.models import Models, RefusedModel
from edge.inference.runtime import check_available
from edge.loop import Loop, start
from edge.messages import ImageSlab
from edge.wire import WireError


def run(config: Config, bus: Bus) -> None:
    """Serve until stopped."""
    check_available(config.inference.runtime)
    loop = Loop(bus, "bags")
    models = Models(config, shipped(config.scanner.tube_kv))
    engine = InferenceEngine(models.current)
    tell(loop, models)
    images = bus.socket("images", zmq.PULL, bind=True)
    assessments = bus.socket("assessments", zmq.PUSH, bind=False)

    def take() -> None:
        try:
            _, slab, arrays = bus.receive(images, ImageSlab)
        except WireError as error:
            loop.count("unreadable")
            loop.log.error("unreadable message on images: %s", error)
            return
        loop.count("slabs")
        assessment = engine.handle(slab, arrays)
        loop.queue = engine.bags_in_hand
        loop.lag_ms = max(0.0, (time.time_ns() - slab.last_frame_t_ns) / 1e6) if slab.last_frame_t_ns else 0.0
        if assessment is not None:
            bus.send(assessments, "assessment", assessment)
            loop.worked()
            loop.log.info(
                "bag %s: score %.3f, %d object(s), fault %s, %.0f ms",
                assessment.bag_id, assessment.score, len(assessment.objects),
                assessment.fault.value if assessment.fault else "none", assessment.inference_ms,
            )  # fmt: skip

    def follow() -> None:
        problem = models.problem
        if models.poll():
            engine.detector = models.current
            tell(loop, models)
        loop.detail = models.problem
        if models.problem and models.problem != problem:
            loop.count("refused_models")

    loop.on(images, take)
    loop.every_tick(follow)
    loop.run()
    models.close()


def tell(loop: Loop, models: Models) -> None:
    """Say once what judges the bags from now on, and what executes it."""
    judge = models.current
    loop.detail = models.problem
    if isinstance(judge, RefusedModel):
        loop.log.error("no bag is judged until a model can be used ('darklane model list')")
        return
    material = judge.material.identity
    words = f"material discriminator {material.id} {material.version} (sha256 {material.sha256:.12}…)"
    if judge.active is None:
        loop.log.info("%s alone, no network; threshold %.3f", words, judge.threshold)
    else:
        who = judge.identity
        loop.log.info(
            "network %s %s on %s, with %s; threshold %.3f", who.id, who.version, who.runtime, words, judge.threshold
        )
    if judge.shadow is not None:
        shadow = identity_of(judge.shadow)
        loop.log.info(
            "shadow network %s %s on %s: its score is told, it decides nothing",
            shadow.id,
            shadow.version,
            shadow.runtime,
        )


def main() -> int:
    """Entry point of ``python -m edge.inference.main``."""
    try:
        return start("inference", run)
    except (ModelError, ModelBundleError) as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
