"""``darklane experiment`` takes what the program behind it takes, and hands everything on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

pytest.importorskip("matplotlib", reason="install darklane[report]")

from edge.commands import app
from edge.commands import experiment as command
from training.experiments.__main__ import parser

#: A value for every option that takes one, not its default.
VALUES = {
    "data": Path("DATA"),
    "second": Path("SECOND"),
    "out": Path("OUT"),
    "splits": 3,
    "seed": 7,
    "preset": "study1@40",
    "trunk": ["googlenet", "lite0"],
    "only": ["fig3", "roc"],
    "match": "split-0",
    "share": "1/4",
    "loaders": 2,
    "weights": Path("WEIGHTS"),
    "textures": Path("TEXTURES"),
    "start": Path("START"),
}
SWITCHES = ("shuffled", "quick", "resume", "report_only")


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Command lines that would have been run."""
    made: list[list[str]] = []

    def run(line: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        made.append(line)
        return subprocess.CompletedProcess(line, 5)

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(command, "find_spec", lambda name: name)
    return made


def _typed(values: dict[str, Any], switches: tuple[str, ...] = ()) -> list[str]:
    words = ["experiment", "study2"]
    for name, value in values.items():
        for one in value if isinstance(value, list) else [value]:
            words += [f"--{name}", str(one)]
    return words + [f"--{name.replace('_', '-')}" for name in switches]


def test_every_option_is_handed_on(started: list[list[str]]) -> None:
    result = CliRunner().invoke(app, _typed(VALUES, SWITCHES))
    assert result.exit_code == 5, result.output
    assert started[0][:3] == [sys.executable, "-m", "training.experiments"]
    given = vars(parser().parse_args(started[0][3:]))
    assert given == {"study": "study2"} | VALUES | dict.fromkeys(SWITCHES, True)


def test_what_is_not_given_is_left_to_the_program(started: list[list[str]]) -> None:
    CliRunner().invoke(app, _typed({"out": "OUT"}))
    assert parser().parse_args(started[0][3:]) == parser().parse_args(["study2", "--out", "OUT"])


def test_no_option_is_missing_on_either_side() -> None:
    theirs = {name for action in parser()._actions for name in action.option_strings} - {"-h", "--help"}
    group: Any = typer.main.get_command(app)
    ours = {name for option in group.commands["experiment"].params for name in option.opts} - {"study"}
    assert ours == theirs == {f"--{name.replace('_', '-')}" for name in (*VALUES, *SWITCHES)}
