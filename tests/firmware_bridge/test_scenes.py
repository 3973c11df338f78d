"""Scenes: reproducible, inside the field, and never a labelled target that nobody could see."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_bridge import reference_tray
from firmware_bridge.emulator import forward, render, scenes
from firmware_bridge.emulator.materials import names
from firmware_bridge.emulator.plan import Faults, Kind, PlanError, PlanItem, load_plan
from firmware_bridge.emulator.scene_parts import DESIGN_HEIGHT_MM
from firmware_bridge.emulator.settings import EmulatorSettings, field_height_mm
from firmware_bridge.scanner import Scanner

WHOLE = Scanner()
SMALL = Scanner(native_rows=128, row_binning=4)
KINDS: tuple[Kind, ...] = ("bag", "laptop", "phone", "hair_dryer")


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(KINDS), st.integers(0, 10**6), st.sampled_from([None, *names("threat")]), st.booleans())
def test_a_labelled_target_lies_in_the_field_and_is_visible(
    kind: Kind, seed: int, target: str | None, clip: bool
) -> None:
    scene = scenes.build(WHOLE, PlanItem(kind=kind, seed=seed, target=target, faults=Faults(clip=clip)))
    truth = scene.truth
    assert json.loads(json.dumps(truth)) == truth
    assert 100.0 < scene.length_mm <= 230.0
    assert scenes.target_is_visible(list(scene.parts), scene.length_mm)
    if target is None:
        assert truth["target"] is None
    else:
        label = truth["target"]
        u0, u1, y0, y1 = label["box_mm"]
        assert label["material"] == target
        assert 0.0 <= u0 < u1 <= scene.length_mm + 1e-3
        assert 0.0 <= y0 < y1 <= DESIGN_HEIGHT_MM + 1e-3
        assert label["mean_path_mm"] >= 1.0
        assert label["area_mm2"] >= 100.0
    sticks_out = False
    for part in scene.parts:
        u0, u1, y0, y1 = part.shape.bounds()
        assert u0 >= -0.5
        assert u1 <= scene.length_mm + 0.5
        sticks_out |= y0 < 0 or y1 > DESIGN_HEIGHT_MM
    assert sticks_out == clip


@pytest.mark.parametrize("kind", [*KINDS, "tray", "empty"])
def test_same_item_same_scene(kind: Kind) -> None:
    item = PlanItem(kind=kind, seed=5)
    cfg = EmulatorSettings()
    one, two = (render.prepare(SMALL, cfg, item, -5.0) for _ in range(2))
    assert np.array_equal(one.expected, two.expected)
    assert one.truth == two.truth
    assert one.expected.dtype == np.float32
    assert one.expected.shape[0::2] == (2, 4)
    assert np.all(np.isfinite(one.expected))
    assert np.all(one.expected > 0)
    if kind in KINDS:
        other = render.prepare(SMALL, cfg, item.model_copy(update={"seed": 6}), -5.0)
        assert one.truth["length_mm"] != other.truth["length_mm"]


def test_outside_the_item_there_is_air() -> None:
    cfg = EmulatorSettings()
    scene = render.prepare(SMALL, cfg, PlanItem(kind="bag", seed=4, target="C4"), -5.0)
    clear = render.air(SMALL, cfg, -5.0)
    assert np.allclose(scene.expected[:, 0], clear, rtol=1e-5)
    assert np.allclose(scene.expected[:, -1], clear, rtol=1e-5)
    assert scene.u0_um < 0
    assert scene.u0_um + (scene.expected.shape[1] - 1) * scene.du_um >= scene.length_um


def test_labels_lie_where_the_material_is() -> None:
    """The target's box holds the dark-field that the same bag without the target material would lack."""
    item = PlanItem(kind="bag", seed=21, target="Semtex1A")
    cfg = EmulatorSettings()
    canvas, scene = render.draw(WHOLE, cfg, item)
    without = forward.Canvas(WHOLE, cfg, canvas.u0_um, canvas.maps.shape[0])
    hidden = tuple(part for part in scene.parts if part.label != "target")
    scenes.paint(scenes.Scene(scene.length_mm, hidden, scene.scale, scene.seed), without)
    extra = canvas.maps[:, forward.ELECTRONS] - without.maps[:, forward.ELECTRONS]
    u, y = np.nonzero(extra > 0.1)
    u_mm, y_mm = canvas.u_mm()[u], canvas.y_mm()[y]
    u0, u1, y0, y1 = scene.truth["target"]["box_mm"]
    assert (u_mm.min(), u_mm.max(), y_mm.min(), y_mm.max()) == pytest.approx((u0, u1, y0, y1), abs=0.6)
    j0, j1, r0, r1 = scene.truth["target"]["box_px"]
    assert (j0, j1) == (int(u0 / 0.3), int(u1 / 0.3))
    assert (r0, r1) == (int(y0 / WHOLE.row_pitch_um * 1e3), int(y1 / WHOLE.row_pitch_um * 1e3))


def test_reference_container_steps_through_its_thicknesses() -> None:
    item = PlanItem(kind="reference", seed=1, target="C4", thicknesses_mm=(5.0, 20.0))
    canvas, scene = render.draw(SMALL, EmulatorSettings(), item)
    images = canvas.images()
    steps = [label for label in scene.truth["objects"] if label["label"] == "step"]
    assert [label["path_mm"] for label in steps] == [5.0, 20.0]
    levels = []
    for label in steps:
        middle = 0.5 * (label["box_mm"][0] + label["box_mm"][1])
        levels.append(images[int(np.argmin(np.abs(canvas.u_mm() - middle))), 0, :, SMALL.rows // 2])
    assert levels[0][2] * 2.5 < levels[1][2] < levels[0][2] * 4.5
    assert levels[0][0] > levels[1][0]
    with pytest.raises(ValueError, match="target"):
        scenes.build(SMALL, PlanItem(kind="reference"))


@pytest.mark.parametrize("rows", [64, 128, 512, 2048])
def test_tray_has_enough_regions_on_a_short_belt(rows: int) -> None:
    scanner = Scanner(native_rows=rows)
    height = field_height_mm(scanner)
    regions = reference_tray.layout(height)
    assert len(regions) >= 20
    assert reference_tray.length_mm(height) <= 150.0
    assert all(0.0 <= r.y0_mm < r.y1_mm <= height + 1e-9 for r in regions)
    boxes = [(r.u0_mm, r.u1_mm, r.y0_mm, r.y1_mm) for r in regions]
    for i, (a0, a1, b0, b1) in enumerate(boxes):
        for c0, c1, d0, d1 in boxes[:i]:
            assert a1 <= c0 or c1 <= a0 or b1 <= d0 + 1e-9 or d1 <= b0 + 1e-9
    if rows >= 512:
        assert all(r.u1_mm - r.u0_mm >= 8.0 and r.y1_mm - r.y0_mm >= 8.0 for r in regions)


def test_tray_is_free_of_dark_field_and_spans_transmission() -> None:
    canvas, scene = render.draw(Scanner(native_rows=512), EmulatorSettings(), PlanItem(kind="tray"))
    images = canvas.images()
    assert np.all(images[:, :, 2] == 0.0)
    assert images[:, 0, 0].min() < 0.15
    assert len(scene.truth["objects"]) >= 20


def test_unknown_material_and_plan_are_named() -> None:
    with pytest.raises(ValueError, match="kryptonite"):
        scenes.build(SMALL, PlanItem(kind="bag", seed=1, target="kryptonite"))
    with pytest.raises(PlanError, match="demo"):
        load_plan("nowhere")
    assert len(load_plan("demo").items) >= 8
    assert load_plan("smoke").items[0].target == "C4"


def test_bad_plan_file_names_the_key(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text('{"items": [{"kind": "suitcase"}]}')
    with pytest.raises(PlanError, match=r"items\.0\.kind"):
        load_plan(str(path))
    path.write_text("{")
    with pytest.raises(PlanError, match="JSON"):
        load_plan(str(path))
    with pytest.raises(PlanError, match="cannot be read"):
        load_plan(str(tmp_path / "none.json"))
