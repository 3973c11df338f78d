"""Messages: every released version can still be read and written, and the documentation is what the code is."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any, cast

import msgpack
import numpy as np
import pytest
from typer.testing import CliRunner

from edge import spool, wire
from edge.commands import app
from edge.commands.messages import documents, schemas
from edge.messages import CHANNELS, IATA, Decision
from tests.edge.golden import make

FILES = sorted(make.FOLDER.glob("*.bin"))
REFERENCE = Path(__file__).parents[2] / "docs" / "reference"


def frames_of(path: Path) -> list[bytes]:
    frames = spool.unpack(io.BytesIO(path.read_bytes()))
    assert frames is not None
    return frames


def header_of(frames: list[bytes | memoryview] | list[bytes]) -> dict[str, Any]:
    return cast("dict[str, Any]", msgpack.unpackb(frames[1]))


def assert_kept(old: Any, new: Any) -> None:
    assert type(new) is type(old)
    if isinstance(old, dict):
        for key, value in old.items():
            assert_kept(value, new[key])
    elif isinstance(old, list):
        assert len(new) == len(old)
        for was, is_now in zip(old, new, strict=True):
            assert_kept(was, is_now)
    else:
        assert new == old


def test_every_message_has_a_golden_file() -> None:
    assert {path.name for path in FILES} >= {make.name(schema_id) for schema_id in schemas()}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_todays_code_reads_and_writes_what_was_released(path: Path) -> None:
    released = frames_of(path)
    topic, message, arrays = wire.decode_any(released)
    again = wire.encode(topic, message, arrays)
    # Every released field is still there, with the same value and type; new ones may have come.
    old, new = header_of(released), header_of(again)
    assert_kept(old, new)
    assert [bytes(frame) for frame in again[2:]] == released[2:]
    _, decoded, _ = wire.decode_any(again)
    assert decoded == message


@pytest.mark.parametrize(("message", "arrays"), make.samples(), ids=lambda value: getattr(value, "schema_id", ""))
def test_golden_values_mean_what_they_meant(message: Any, arrays: Any) -> None:
    _, decoded, read = wire.decode_any(frames_of(make.FOLDER / make.name(message.schema_id)))
    assert decoded == message
    assert list(read) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(read[name], array)


@pytest.mark.parametrize(("message", "arrays"), make.samples(), ids=lambda value: getattr(value, "schema_id", ""))
def test_golden_samples_leave_no_field_at_its_default(message: Any, arrays: Any) -> None:
    fields = type(message).model_fields
    same = {
        name for name, field in fields.items() if not field.is_required() and getattr(message, name) == field.default
    }
    assert same <= {"schema_id", "clock_state"}


def test_fields_of_a_newer_version_are_ignored() -> None:
    frames = frames_of(make.FOLDER / make.name("slab/1"))
    header = header_of(frames)
    header["invented_later"] = {"a": [1]}
    _, message, _ = wire.decode_any([frames[0], msgpack.packb(header), *frames[2:]])
    assert message.schema_id == "slab/1"


def test_the_generated_documentation_is_up_to_date() -> None:
    files = documents()
    for name, text in files.items():
        assert (REFERENCE / name).read_text(encoding="utf-8") == text, (
            f"docs/reference/{name} is old; run 'darklane messages --write docs/reference'"
        )
    assert {f"schema/{path.name}" for path in (REFERENCE / "schema").iterdir()} == set(files) - {"messages.md"}


def test_the_command_prints_schemas_and_names_what_it_does_not_know(tmp_path: Path) -> None:
    run = CliRunner().invoke
    everything = json.loads(run(app, ["messages"]).stdout)
    assert everything["slab/1"]["x-arrays"] == ["phase_sums", "weights", "weights_sq"]
    assert json.loads(run(app, ["messages", "verdict/1"]).stdout) == everything["verdict/1"]
    wrong = run(app, ["messages", "slap/1"])
    assert wrong.exit_code == 2
    assert "slab/1" in wrong.output
    (tmp_path / "schema").mkdir()
    (tmp_path / "schema" / "gone-1.json").touch()
    assert run(app, ["messages", "--write", str(tmp_path)]).exit_code == 0
    assert {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*.*")} == set(documents())


def test_every_decision_has_its_iata_word_and_channels_are_four() -> None:
    assert set(IATA) == set(Decision)
    assert len(CHANNELS) == 4
