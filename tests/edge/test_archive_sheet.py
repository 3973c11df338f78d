"""The sheet: geometry, marks and words that must be on it. Not compared pixel by pixel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageFont

from edge import saliency
from edge.archive import captions, colour, marks, sheet, text
from edge.archive.hdf5 import BagWriter
from edge.archive.heat import Heat
from edge.archive.panels import panels
from edge.archive.provenance import describe
from edge.archive.reader import BagFile
from edge.messages import Decision
from kernels.types import Flag
from tests.edge.archive_bags import Bag, bag, boxes, config

Rgb = npt.NDArray[np.uint8]


def archived(folder: Path, made: Bag, decision: Decision | None = Decision.ALARM, **tables: object) -> Path:
    writer = BagWriter(folder / f"{made.bag_id}.h5", made.bag_id, describe(config(folder, **tables)))
    for slab, arrays in made.image_slabs():
        writer.add_images(slab, arrays)
    return writer.finish(made.verdict(decision) if decision else None, [])


def drawn(path: Path) -> Rgb:
    return np.asarray(Image.open(sheet.write_sheet(path)).convert("RGB"))


def near(pixels: Rgb, rgb: marks.Rgb, tolerance: int = 40) -> npt.NDArray[np.bool_]:
    return np.asarray((np.abs(pixels.astype(int) - np.array(rgb)) <= tolerance).all(axis=-1))


@pytest.mark.parametrize(("rows", "columns"), [(256, 140), (256, 300), (128, 400), (64, 16)])
def test_pictures_keep_their_shape(rows: int, columns: int) -> None:
    width_mm, height_mm = columns * 0.3, rows * 0.6156
    plan = sheet.plan_page(width_mm, height_mm, 3)
    assert plan.image_width / plan.image_height == pytest.approx(width_mm / height_mm, rel=0.02)
    assert plan.across * plan.down >= 10
    last = plan.cell(9)
    assert last[0] + plan.cell_width <= plan.page_width
    assert last[1] + plan.row_height <= plan.page_height - captions.FOOTER + sheet.GAP


def test_objects_are_marked_where_they_are(tmp_path: Path) -> None:
    made = bag(128, 200)
    pixels = drawn(archived(tmp_path, made))
    plan = sheet.plan_page(made.columns * 0.3, made.rows * made.row_pitch_um / 1e3, 2)

    def on(corner: tuple[int, int]) -> marks.Mapping:
        x, y = corner
        box = (x, y + sheet.TITLE, x + plan.image_width, y + sheet.TITLE + plan.image_height)
        return marks.Mapping(box, made.rows, made.columns)

    def is_marked(mapping: marks.Mapping, row: float, column: float, rgb: marks.Rgb) -> bool:
        y, x = round(mapping.y(row)), round(mapping.x(column))
        return bool(near(pixels[y - 4 : y + 5, x - 4 : x + 5], rgb).any())

    attenuation, offset = on(plan.place(0, 0)), on(plan.place(4, 0))
    threat, benign = boxes(made)
    # A box has its left and right side half way down; the polygon of the other object has its upper side on the box.
    middle = (threat[0] + threat[2]) / 2
    for mapping in (attenuation, offset):
        assert is_marked(mapping, middle, threat[1], marks.RED)
        assert is_marked(mapping, middle, threat[3], marks.RED)
    upper = (benign[0], (benign[1] + benign[3]) / 2)
    assert is_marked(offset, *upper, marks.GREEN)
    assert not is_marked(attenuation, *upper, marks.GREEN), "what is no threat must not hide the picture"
    mapping = attenuation
    y, x = round(mapping.y(middle)), round(mapping.x((threat[1] + threat[3]) / 2))
    assert not near(pixels[y - 8 : y + 9, x - 8 : x + 9], marks.RED).any()


def test_red_only_for_a_threat(tmp_path: Path) -> None:
    assert near(drawn(archived(tmp_path, bag(64, 80))), marks.RED).any()
    clear = drawn(archived(tmp_path, bag(64, 80), Decision.CLEAR))
    body = clear[captions.HEADER : -captions.FOOTER]
    assert not near(body, marks.RED, 10).any()
    assert near(clear[: captions.HEADER], marks.GREEN, 5).any()
    unknown = drawn(archived(tmp_path, bag(64, 80), Decision.UNKNOWN))
    assert near(unknown[: captions.HEADER], marks.AMBER, 5).any()


def test_heat_lies_over_the_attenuation(tmp_path: Path) -> None:
    """Red at the hot cells of both attenuation pictures and nowhere else; what cannot be unpacked leaves none."""
    made = bag(64, 96)
    cells = np.zeros((9, 12), np.float32)
    cells[1:3, 8:10] = 1.0
    whole = saliency.encode(cells, (0, 0, 72, 96))
    heat = Heat.of(whole, 64, 96)
    assert heat is not None
    picture = np.full((128, 192, 3), 200, np.uint8)
    red = near(heat.over(picture), (202, 93, 106), 12)
    rows, columns = np.nonzero(red)
    assert 16 <= rows.min() <= rows.max() < 48
    assert 128 <= columns.min() <= columns.max() < 160
    assert red[20:44, 132:156].mean() > 0.5
    np.testing.assert_array_equal(heat.over(picture)[100:], picture[100:])
    for wrong in (None, whole.model_copy(update={"data": "AAAA"}), whole.model_copy(update={"box": (8, 0, 72, 96)})):
        assert Heat.of(wrong, 64, 96) is None
    plain = drawn(archived(tmp_path, made, Decision.CLEAR))
    verdict = made.verdict(Decision.CLEAR, saliency=whole, contributions={"net-1": 0.9})
    writer = BagWriter(tmp_path / "hot.h5", "hot", describe(config(tmp_path)))
    for slab, arrays in made.image_slabs():
        writer.add_images(slab, arrays)
    hot = drawn(writer.finish(verdict, []))
    changed = (hot != plain).any(-1)
    plan = sheet.plan_page(made.columns * 0.3, made.rows * made.row_pitch_um / 1e3, 0)
    for number in range(10):
        x, y = plan.place(number % 5, number // 5)
        picture_changed = changed[y + sheet.TITLE : y + sheet.TITLE + plan.image_height, x : x + plan.image_width]
        assert picture_changed.any() == (number % 5 == 0)


def test_only_an_emulated_bag_says_that_it_is_simulated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words: list[str] = []

    def record(draw: object, right: int, word: str) -> int:
        words.append(word)
        return 0

    monkeypatch.setattr(captions, "_draw_tag", record)
    drawn(archived(tmp_path, bag(32, 40)))
    assert words == []
    drawn(archived(tmp_path, bag(32, 40), emulator={"seed": 1}))
    assert words == ["simulated scanner"]


def test_the_strong_scatterer_is_the_brightest_in_dark_field(tmp_path: Path) -> None:
    made = bag(128, 200)
    with BagFile(archived(tmp_path, made)) as file:
        found = {(panel.key, panel.bin_name): panel for index in (0, 1) for panel in panels(file, index)}
    assert len(found) == 10
    dark = found["dark_field", "low"]
    (row0, column0, row1, column1), benign = boxes(made)
    assert dark.window[0] == 0
    assert 55 < dark.window[1] < 100
    ratio = found["ratio", "low"].values
    assert np.nanmedian(ratio[row0:row1, column0:column1]) == pytest.approx(60 / 0.8, rel=0.05)
    assert np.nanmedian(ratio[benign[0] : benign[2], benign[1] : benign[3]]) == pytest.approx(4, abs=2)
    assert np.isnan(ratio[:, :20]).mean() > 0.95, "no ratio in air"
    assert found["attenuation", "low"].window[1] == pytest.approx(0.8, abs=0.1)


def test_flagged_pixels_are_not_shown(tmp_path: Path) -> None:
    made = bag(32, 48)
    made.flags[:, 4:8, 4:8] = Flag.NOT_CONVERGED
    made.flags[:, 20:24, 4:8] = Flag.LOW_COUNTS
    made.flags[:, 26:30, 4:8] = Flag.SINGULAR
    made.images[0, :, 26:30, 4:8] = 0.001
    with BagFile(archived(tmp_path, made)) as file:
        for panel in panels(file, 1):
            assert np.isnan(panel.values[4:8, 4:8]).all()
            assert panel.key == "ratio" or np.isfinite(panel.values[20:24, 4:8]).all()
            opaque = panel.values[26:30, 4:8]
            if panel.key == "attenuation":
                assert (opaque == np.float32(panel.window[1])).all(), "black, not unknown"
            elif panel.key != "offset":
                assert np.isnan(opaque).all()


@pytest.mark.parametrize("value", [np.nan, 0.0, -1.0, np.inf])
def test_hopeless_images_still_give_a_sheet(tmp_path: Path, value: float) -> None:
    made = bag(32, 48)
    made.images[:] = value
    made.sigma[:] = np.nan
    assert drawn(archived(tmp_path, made)).shape[2] == 3


def test_a_bag_without_images_or_verdict(tmp_path: Path) -> None:
    path = BagWriter(tmp_path / "b.h5", "b", describe(config(tmp_path))).finish(None, [])
    pixels = drawn(path)
    assert pixels.shape[1] == captions.LEAST_WIDTH
    assert near(pixels[: captions.HEADER], marks.SLATE, 5).any()


def test_many_objects_and_long_names(tmp_path: Path) -> None:
    made = bag(64, 90, bag_id="x" * 128)
    one = made.verdict().objects[0]
    verdict = made.verdict().model_copy(update={"objects": (one,) * 50})
    writer = BagWriter(tmp_path / "many.h5", made.bag_id, describe(config(tmp_path)))
    for slab, arrays in made.image_slabs():
        writer.add_images(slab, arrays)
    assert drawn(writer.finish(verdict, [])).shape[0] < 4000


def test_without_a_font_that_has_greek(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageFont, "truetype", _only_builtin(ImageFont.truetype))
    text.font.cache_clear()
    text.has_symbols.cache_clear()
    try:
        assert text.spell("τ² / −ln t, µm²") == "tau^2 / –ln t, um^2"
        drawn(archived(tmp_path, bag(32, 48)))
    finally:
        text.font.cache_clear()
        text.has_symbols.cache_clear()


def _only_builtin(real: object) -> object:
    def truetype(font: object, *args: object, **kwargs: object) -> object:
        if isinstance(font, str):
            raise OSError("cannot open resource")
        return real(font, *args, **kwargs)  # type: ignore[operator]

    return truetype


@pytest.mark.parametrize("name", ["grey", "grey_reversed", "ember", "lagoon"])
def test_colour_maps_have_monotone_lightness(name: colour.ColourMap) -> None:
    luminance = (colour.table(name) / 255.0) ** 2.2 @ [0.2126, 0.7152, 0.0722]
    steps = np.diff(luminance)
    assert (steps >= -0.002).all() or (steps <= 0.002).all()
    assert abs(luminance[-1] - luminance[0]) > 0.7


def test_the_diverging_map_is_lightest_in_the_middle() -> None:
    luminance = colour.table("balance").astype(float).sum(axis=1)
    assert luminance.argmax() == pytest.approx(127.5, abs=1)


@pytest.mark.parametrize("window", [(0.0, 1.0), (0.0, 62.7), (-1.3, 1.3), (0.8, 1.05), (0.0, 3e-4), (0.0, 2.5e4)])
def test_colour_bars_have_a_few_round_ticks(window: tuple[float, float]) -> None:
    values = marks.ticks(*window)
    assert 2 <= len(values) <= 6
    assert window[0] <= min(values)
    assert max(values) <= window[1] * (1 + 1e-9)


def test_resampling_keeps_means_and_does_not_fill_holes() -> None:
    values = np.ones((40, 60), np.float32)
    values[:, :20] = np.nan
    small = sheet.resample(values, (30, 20))
    assert np.isnan(small[:, :9]).all()
    np.testing.assert_allclose(small[:, 11:], 1.0, rtol=1e-6)
