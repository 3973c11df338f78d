"""``darklane calibration``: what an engineer sees and does with bundles, through the command line."""

from __future__ import annotations

import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from calibration.bundle import load_active
from edge.commands import app
from tests.calibration.synthetic import SCANNER, bundle

NOW = time.time_ns()


@pytest.fixture
def lane(tmp_path: Path) -> Path:
    """Configuration of a lane with two calibrations; the younger is active."""
    older = bundle(NOW - 3_600_000_000_000)
    moved = dataclasses.replace(older.curves, centre=older.curves.centre + 2.0)
    older.save(tmp_path / "lane" / "calibration")
    dataclasses.replace(older, curves=moved, created_ns=NOW).save(tmp_path / "lane" / "calibration")
    config = tmp_path / "lane.toml"
    config.write_text(f'[lane]\nstate_dir = "{tmp_path / "lane"}"\n[scanner]\nnative_rows = {SCANNER.native_rows}\n')
    return config


def call(lane: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["calibration", *arguments, "--config", str(lane)])


def listed(lane: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(call(lane, "list", "--json").stdout)
    return rows


def test_list_names_the_active_one_and_states(lane: Path) -> None:
    rows = listed(lane)
    assert [row["active"] for row in rows] == [False, True]
    assert {row["state"] for row in rows} == {"CALIBRATED"}
    assert rows[1]["id"] in call(lane, "list").stdout


def test_going_back_and_forth_is_recorded(lane: Path) -> None:
    old, new = (row["id"] for row in listed(lane))
    assert call(lane, "activate", "--previous").exit_code == 0
    active = load_active(lane.parent / "lane" / "calibration")
    assert active is not None
    assert active.id == old
    assert call(lane, "activate", new[:9]).exit_code == 0
    assert [line["id"] for line in json.loads(call(lane, "history", "--json").stdout)] == [old, new, old, new]
    (path,) = (lane.parent / "lane" / "audit").iterdir()
    audited = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert [line["id"] for line in audited if line["action"] == "calibration activate"] == [old, old, new, new]


def test_diff_shows_what_moved(lane: Path) -> None:
    old, new = (row["id"] for row in listed(lane))
    shown = json.loads(call(lane, "diff", old, "--json").stdout)
    assert shown["after"] == new
    assert shown["differences"]["curve centres, median, µm"] == pytest.approx(2.0, abs=1e-4)
    assert shown["differences"]["pixels newly bad"] == 0
    assert "hours between" in call(lane, "diff", old, new).stdout


def test_show_and_verify_a_good_bundle(lane: Path) -> None:
    told = json.loads(call(lane, "show", "--json").stdout)
    assert told["state"] == "CALIBRATED"
    assert told["id"][4:] == told["digest"][:16]
    assert "recorded on" in call(lane, "show").stdout
    assert call(lane, "verify").exit_code == 0


def test_an_altered_bundle_is_named_and_cannot_be_activated(lane: Path) -> None:
    old = listed(lane)[0]["id"]
    path = lane.parent / "lane" / "calibration" / f"{old}.h5"
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)
    checked = call(lane, "verify", "--json")
    assert checked.exit_code == 1
    assert json.loads(checked.stdout)[old]["ok"] is False
    refused = call(lane, "activate", old)
    assert refused.exit_code == 1
    assert listed(lane)[-1]["state"] == "INVALID"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("activate",), "name a calibration"),
        (("activate", "cal-ffff"), "names 0 calibrations"),
        (("show", "cal-"), "names 2 calibrations"),
    ],
)
def test_what_cannot_be_done_is_said(lane: Path, arguments: tuple[str, ...], sentence: str) -> None:
    result = call(lane, *arguments)
    assert result.exit_code != 0
    assert sentence in " ".join(result.stderr.split())


def test_a_calibration_of_another_scanner_is_not_activated(lane: Path) -> None:
    lane.write_text(lane.read_text(encoding="utf-8") + "tube_kv = 120\n", encoding="utf-8")
    result = call(lane, "activate", "--previous")
    assert result.exit_code == 1
    assert "other [scanner] settings" in " ".join(result.stderr.split())
