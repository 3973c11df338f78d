"""The inference service: image slabs in, one assessment per bag out."""

from __future__ import annotations

import sys
import time

import zmq

from edge.bus import Bus
from edge.config import Config
from edge.inference.engine import InferenceEngine
from edge.inference.examination import MaterialDetector
from edge.inference.model_file import ModelError, shipped
from edge.loop import Loop, start
from edge.messages import ImageSlab
from edge.wire import WireError


def run(config: Config, bus: Bus) -> None:
    """Serve until stopped."""
    loop = Loop(bus, "bags")
    model = shipped(config.scanner.tube_kv)
    table = config.inference
    engine = InferenceEngine(MaterialDetector(model, min_area_mm2=table.min_area_mm2, threshold=table.threshold))
    loop.log.info(
        "model %s %s (sha256 %.12s…, %d materials, %d kVp, threshold %.3f)",
        model.manifest.id, model.manifest.version, model.manifest.sha256, len(model.classes),
        model.manifest.tube_kv, engine.detector.threshold,
    )  # fmt: skip
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

    loop.on(images, take)
    loop.run()


def main() -> int:
    """Entry point of ``python -m edge.inference.main``."""
    try:
        return start("inference", run)
    except ModelError as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
