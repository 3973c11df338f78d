"""The benchmark of the network, on a small archived bag and a network that nobody trained."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from edge.archive.hdf5 import BagWriter
from edge.archive.provenance import describe
from edge.commands import app
from tests.edge import network_bundle as tiny
from tests.edge.archive_bags import bag, config


def test_it_measures_every_graph_and_what_is_left_at_the_end(tmp_path: Path) -> None:
    made = bag(64, 96)
    writer = BagWriter(tmp_path / "bag.h5", made.bag_id, describe(config(tmp_path)))
    for slab, arrays in made.image_slabs():
        writer.add_images(slab, arrays)
    path = writer.finish(None, [])
    name = tiny.bundle(tmp_path / "models").name
    arguments = ["bench", "inference", str(path), "--model", name, "--state-dir", str(tmp_path), "--repeats", "2"]
    result = CliRunner().invoke(app, [*arguments, "--json", str(tmp_path / "figures.json")])
    assert result.exit_code == 0, result.output
    assert "in the lane at" in result.output
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert (figures["rows"], figures["columns"], figures["default"]) == (64, 96, "fp32")
    assert set(figures["seconds"]) == {
        "fp32: lane, images to heat",
        "fp32: bare ONNX Runtime, the same tiles",
        "making the planes alone",
        "after the last slab: discriminator alone",
        "after the last slab: network and discriminator",
    }
    assert set(figures["processor_seconds"]) == set(figures["seconds"])
    alone, made = figures["of_bare_processor"]["fp32"]
    assert 0 < alone < made
    missing = CliRunner().invoke(app, ["bench", "inference", str(tmp_path / "gone.h5"), "--state-dir", str(tmp_path)])
    assert missing.exit_code == 1
