"""The inference service as a process."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import zmq

from edge.bus import Bus
from edge.config import Config, Lane, dump
from edge.inference.model_folder import SHIPPED_FOLDER, ModelFolder
from edge.messages import Assessment, ServiceStatus
from tests.edge.inference_scene import Slab, images, slabs_of
from tests.edge.network_bundle import bundle

PATIENCE_MS = 20_000


def test_slabs_in_assessment_out_and_rubbish_survived(tmp_path: Path) -> None:
    config = Config(lane=Lane(state_dir=tmp_path))
    file = tmp_path / "lane.toml"
    file.write_text(dump(config), encoding="utf-8")
    bus = Bus(config.run_dir, "test")
    assessments = bus.socket("assessments", zmq.PULL, bind=True)
    status = bus.socket("status", zmq.PULL, bind=True)
    slabs = bus.socket("images", zmq.PUSH, bind=False)
    with subprocess.Popen([sys.executable, "-m", "edge.inference.main", "--config", str(file)]) as process:
        try:
            assert status.poll(PATIENCE_MS)
            assert bus.receive(status, ServiceStatus)[1].state == "ready"
            slabs.send_multipart([b"images", b"\xc1rubbish"])
            for slab, arrays in slabs_of(images((Slab("Semtex1A", 0.6, (50, 60, 100, 120)),))):
                bus.send(slabs, "images", slab, arrays)
            assert assessments.poll(PATIENCE_MS)
            topic, found, _ = bus.receive(assessments, Assessment)
            assert (topic, found.bag_id, found.source) == ("assessment", "bag-1", "inference")
            assert 0 < found.score < 1
            assert found.objects[0].candidates
            assert found.model_id == next(SHIPPED_FOLDER.glob("net-*")).name
            # A model is activated while the service runs, and judges the bags after that.
            name = bundle(tmp_path / "models").name
            ModelFolder(tmp_path).pointer().set(name)
            for attempt in range(2, 200):
                for slab, arrays in slabs_of(images((), rows=32, columns=70), bag_id=f"bag-{attempt}"):
                    bus.send(slabs, "images", slab, arrays)
                assert assessments.poll(PATIENCE_MS)
                _, found, _ = bus.receive(assessments, Assessment)
                assert found.fault is None
                if found.model_id == name:
                    break
            assert (found.model_id, found.inference_runtime) == (name, "onnxruntime-fp32")
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
        finally:
            process.kill()
            bus.close()
