"""Discriminator, network and shadow together; models changed while bags are in the lane."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from edge import saliency
from edge.commands import app
from edge.config import Config, Lane
from edge.inference.detector import Geometry
from edge.inference.engine import InferenceEngine
from edge.inference.examination import MaterialDetector
from edge.inference.lane_detector import LaneDetector
from edge.inference.model_file import shipped
from edge.inference.model_folder import ModelFolder
from edge.inference.models import Models, RefusedModel
from edge.inference.network import open_network
from edge.inference.planes import PLANES, planes
from edge.messages import Arrays, Assessment, Fault
from tests.edge import network_bundle as tiny
from tests.edge.inference_scene import GRID_UM, MODEL, PITCH_UM, Slab, images, slabs_of, tile

PATIENCE_S = 20.0
PLACE = (50, 60, 100, 120)
CLOTH = Slab("nylon_textile", 0.04, (20, 20, 140, 180))
THREAT = images((CLOTH, Slab("Semtex1A", 0.6, PLACE)))
HARMLESS = images((CLOTH, Slab("PE", 0.6, PLACE)))
DISCRIMINATOR = MODEL.manifest.sha256


def lane(tmp_path: Path) -> Config:
    return Config(lane=Lane(state_dir=tmp_path))


def folder(tmp_path: Path) -> ModelFolder:
    """A lane's models without what the software ships."""
    return ModelFolder(tmp_path, shipped=tmp_path / "nothing-shipped")


def bundle(tmp_path: Path, **changes: Any) -> str:
    fusion = changes.pop("fusion", {**tiny.FUSION, "material_sha256": DISCRIMINATOR})
    return tiny.bundle(tmp_path / "models", fusion=fusion, **changes).name


def models(tmp_path: Path) -> Models:
    return Models(lane(tmp_path), MODEL, folder(tmp_path))


def assess(engine: InferenceEngine, arrays: Arrays, **fields: object) -> Assessment:
    *_, result = [engine.handle(slab, part) for slab, part in slabs_of(arrays, 48, **fields)]
    assert result is not None
    return result


def settled(of: Models) -> bool:
    """Wait until a change of the pointers was taken or refused."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        problem = of.problem
        if of.poll():
            return True
        if of.problem and of.problem != problem:
            return False
        time.sleep(0.005)
    raise AssertionError("nothing happened")


def test_network_and_discriminator_alarm_together_and_say_where(tmp_path: Path) -> None:
    name = bundle(tmp_path)
    folder(tmp_path).pointer().set(name)
    engine = InferenceEngine(models(tmp_path).current)
    found = assess(engine, THREAT)
    assert found.fault is None
    assert (found.model_id, found.inference_runtime, found.threshold) == (name, "onnxruntime-fp32", 0.5)
    assert found.score >= found.threshold
    assert set(found.contributions) == {name, "materials-80kvp"}
    best = found.objects[0]
    assert (best.category, best.probability) == ("explosive", found.score)
    np.testing.assert_allclose(best.box, PLACE, atol=10)
    assert best.candidates[0].material == "Semtex1A"
    assert best.saliency is not None
    assert saliency.decode(best.saliency).max() > 250
    assert found.saliency is not None
    assert (found.saliency.rows, found.saliency.columns) == (20, 25)
    rows, columns = np.nonzero(saliency.decode(found.saliency) > 128)
    assert ((rows * 8 >= PLACE[0] - 16) & (rows * 8 <= PLACE[2] + 8)).all()
    assert ((columns * 8 >= PLACE[1] - 16) & (columns * 8 <= PLACE[3] + 8)).all()
    clear = assess(engine, HARMLESS)
    assert clear.score < clear.threshold
    assert all(o.category != "explosive" and o.probability < clear.threshold for o in clear.objects)
    assert any(o.candidates for o in clear.objects)


def test_the_score_reaches_the_threshold_exactly_when_an_object_does(tmp_path: Path) -> None:
    name = bundle(tmp_path)
    folder(tmp_path).pointer().set(name)
    config = lane(tmp_path)
    base = assess(InferenceEngine(models(tmp_path).current), THREAT).score
    for threshold in (0.0, base, np.nextafter(base, 1), 1.0):
        table = config.inference.model_copy(update={"threshold": float(threshold)})
        of = Models(config.model_copy(update={"inference": table}), MODEL, folder(tmp_path))
        found = assess(InferenceEngine(of.current), THREAT)
        assert found.threshold == threshold
        assert (found.score >= threshold) == any(o.category == "explosive" for o in found.objects)


def test_without_a_network_the_discriminator_judges_alone(tmp_path: Path) -> None:
    alone = assess(InferenceEngine(MaterialDetector(MODEL, min_area_mm2=60.0)), THREAT)
    found = assess(InferenceEngine(models(tmp_path).current), THREAT)
    same = {"score", "objects", "model_id", "inference_runtime", "contributions", "saliency", "shadow", "threshold"}
    assert found.model_dump(include=same) == alone.model_dump(include=same)
    assert found.inference_runtime == "numpy"


def test_a_network_of_all_planes_gets_them_in_place(tmp_path: Path) -> None:
    """The same bag with its planes written into the tiles, at once and in slabs, copied there, and in another order."""
    content = tiny.graph(planes=len(PLANES), seed=5)
    inputs = {"row_pitch_um": PITCH_UM, "grid_um": GRID_UM, "tube_kv": (80,)}
    heats = []
    for order in (PLANES, PLANES[::-1]):
        name = bundle(
            tmp_path, onnx_bytes=content, vectors=tiny.golden(content, len(PLANES)), inputs={**inputs, "planes": order}
        )
        network = open_network(folder(tmp_path).load(name), "auto", 1, lane(tmp_path).scanner)
        stream = network.stream(Geometry(160, PITCH_UM, GRID_UM))
        stack = planes(THREAT["images"], THREAT["sigma"], THREAT["flags"])
        stream.add(stack if order == PLANES else stack[::-1])
        heats.append(stream.finish())
        for columns in (2000, 32, 37):
            stream = network.stream(Geometry(160, PITCH_UM, GRID_UM))
            for _, part in slabs_of(THREAT, columns):
                network.feed(stream, tile(part))
            heats.append(stream.finish())
    for k in (1, 2, 3):
        np.testing.assert_array_equal(heats[0], heats[k])
        np.testing.assert_array_equal(heats[4], heats[4 + k])
    assert np.abs(heats[0] - heats[4]).max() > 0.1


def test_a_shadow_is_told_and_decides_nothing(tmp_path: Path) -> None:
    name = bundle(tmp_path, fusion=None)
    alone = assess(InferenceEngine(models(tmp_path).current), THREAT)
    folder(tmp_path).pointer("shadow").set(name)
    found = assess(InferenceEngine(models(tmp_path).current), THREAT)
    assert (found.score, found.objects, found.model_id) == (alone.score, alone.objects, alone.model_id)
    assert found.shadow is not None
    assert (found.shadow.model_id, found.shadow.runtime) == (name, "onnxruntime-fp32")
    assert found.shadow.score is not None
    assert found.shadow.score > 0.9


class Broken:
    """A runtime that gives NaN, or fails."""

    name = "broken"

    def __init__(self, raises: bool) -> None:
        self._raises = raises

    def run(self, planes: tiny.Array) -> tuple[tiny.Array, tiny.Array]:
        if self._raises:
            raise RuntimeError("device lost")
        cells = (1, 1, planes.shape[2] // 8, planes.shape[3] // 8)
        return np.full(cells, np.nan, np.float32), np.zeros((1, 1), np.float32)

    def close(self) -> None:
        pass


@pytest.mark.parametrize(("raises", "cause"), [(True, "device lost"), (False, "cells of its heat are no numbers")])
def test_a_failing_network_makes_the_bag_unknown_and_a_failing_shadow_nothing(
    tmp_path: Path, raises: bool, cause: str
) -> None:
    folder(tmp_path).pointer().set(bundle(tmp_path))
    good = models(tmp_path).current
    assert isinstance(good, LaneDetector)
    assert good.active is not None
    broken = type(good.active)(good.active.bundle, Broken(raises), good.active.graph, good.active.wanted)
    failed = assess_until_fault(InferenceEngine(LaneDetector(good.material, broken)), THREAT)
    assert (failed.fault, failed.score) == (Fault.FAILED_RECON, 0.0)
    assert cause in failed.detail
    found = assess(InferenceEngine(LaneDetector(good.material, good.active, broken)), THREAT)
    assert found.fault is None
    assert found.score >= found.threshold
    assert found.shadow is not None
    assert found.shadow.score is None
    assert cause in found.shadow.detail


def assess_until_fault(engine: InferenceEngine, arrays: Arrays) -> Assessment:
    results = [engine.handle(slab, part) for slab, part in slabs_of(arrays, 48)]
    (result,) = [r for r in results if r is not None]
    return result


def test_a_model_is_changed_between_bags(tmp_path: Path) -> None:
    """The bag in the lane keeps the model that it began with; the next one has the new one."""
    of = models(tmp_path)
    engine = InferenceEngine(of.current)
    slabs = slabs_of(THREAT, 48)
    assert engine.handle(*slabs[0]) is None
    name = bundle(tmp_path)
    folder(tmp_path).pointer().set(name)
    assert settled(of)
    engine.detector = of.current
    *_, first = [engine.handle(slab, part) for slab, part in slabs[1:]]
    assert first is not None
    assert first.model_id == "materials-80kvp"
    assert assess(engine, THREAT, bag_id="bag-2").model_id == name
    folder(tmp_path).pointer().set("none")
    assert settled(of)
    assert of.current.identity.id == "materials-80kvp"
    of.close()


@pytest.mark.parametrize(
    ("spoil", "cause"),
    [
        (lambda path: tiny.altered(path, "model.onnx", lambda b: b[:-1]), "model.onnx hashes to"),
        (lambda path: (path / "signature.json").unlink(), "is not signed"),
        (shutil.rmtree, "manifest.json cannot be read"),
    ],
)
def test_a_refused_model_leaves_the_old_one(tmp_path: Path, spoil: Any, cause: str) -> None:
    first, second = bundle(tmp_path), bundle(tmp_path, version="2")
    folder(tmp_path).pointer().set(first)
    of = models(tmp_path)
    spoil(tmp_path / "models" / second)
    folder(tmp_path).pointer().set(second)
    assert not settled(of)
    assert cause in of.problem
    assert second in of.problem
    assert of.current.identity.id == first
    folder(tmp_path).pointer().set(first)
    assert settled(of)
    assert of.problem == ""
    of.close()


def test_a_lane_that_starts_with_a_broken_model_judges_nothing(tmp_path: Path) -> None:
    name = bundle(tmp_path)
    tiny.altered(tmp_path / "models" / name, "manifest.json", lambda b: b + b" ")
    folder(tmp_path).pointer().set(name)
    of = models(tmp_path)
    assert isinstance(of.current, RefusedModel)
    found = assess_until_fault(InferenceEngine(of.current), THREAT)
    assert (found.fault, found.score, found.objects) == (Fault.FAILED_RECON, 0.0, ())
    assert "does not match its signature" in found.detail
    assert found.model_id == name


def test_a_network_fused_with_another_discriminator_may_not_decide(tmp_path: Path) -> None:
    folder(tmp_path).pointer().set(bundle(tmp_path, fusion=tiny.FUSION))
    of = models(tmp_path)
    assert isinstance(of.current, RefusedModel)
    assert "this lane has materials-80kvp" in of.problem


def run(tmp_path: Path, *arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["model", *arguments, "--state-dir", str(tmp_path / "lane")])
    return result.exit_code, " ".join(result.output.split())


def test_the_commands(tmp_path: Path) -> None:
    here = ModelFolder(tmp_path / "lane")
    elsewhere = tiny.bundle(tmp_path / "usb")
    other = tiny.bundle(tmp_path / "usb", version="2")
    unfused = tiny.bundle(tmp_path / "usb", version="3", fusion=None)
    assert "which is not in" in run(tmp_path, "activate", str(elsewhere))[1]
    assert here.chosen() == "shipped"
    shutil.copytree(tmp_path / "usb" / "keys" / "trusted", here.path / "keys" / "trusted")
    assert run(tmp_path, "verify", str(elsewhere))[0] == 0
    assert run(tmp_path, "activate", str(elsewhere)) == (0, f"{elsewhere.name} ({elsewhere.name}) is active")
    assert run(tmp_path, "activate", str(other))[0] == 0
    assert here.chosen() == other.name
    assert "may only run as a shadow" in run(tmp_path, "activate", str(unfused))[1]
    assert run(tmp_path, "shadow", unfused.name[:12])[0] == 0
    assert here.chosen("shadow") == unfused.name
    assert run(tmp_path, "rollback")[0] == 0
    assert here.chosen() == elsewhere.name
    assert "0 models" in run(tmp_path, "activate", "net-nothing")[1]
    code, listed = run(tmp_path, "list", "--json")
    assert code == 0
    assert all(name in listed for name in (elsewhere.name, other.name, unfused.name))
    assert "shadow only" in run(tmp_path, "list")[1]
    tiny.altered(here.path / other.name, "model.onnx", lambda b: b[1:])
    code, told = run(tmp_path, "verify")
    assert code == 1
    assert f"{other.name}: " in told
    assert "hashes to" in told
    assert run(tmp_path, "activate", "none")[1] == "the material discriminator judges alone"
    assert run(tmp_path, "shadow", "none")[0] == 0
    assert "0 models" in run(tmp_path, "verify", "gone")[1]


def test_nothing_to_roll_back_to(tmp_path: Path) -> None:
    code, told = run(tmp_path, "rollback")
    assert code == 1
    assert "nothing was ever activated" in told
    assert shipped(80).manifest.sha256
