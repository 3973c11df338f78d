"""Which share of the lines of a target's modules its inputs reach, by the standard library's tracing."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from types import CodeType, FrameType
from typing import Any

from tests.fuzz.guided import FOLDER


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def covered(name: str) -> str:
    """Text such as '93 % of 210' for the kept inputs of target ``name``: lines inside functions, per module."""
    target: Any = importlib.import_module(f"tests.fuzz.{name}")
    files = {str(sys.modules[module].__file__) for module in target.INSTRUMENT}
    possible = {
        (file, line)
        for file in files
        for code in _codes(compile(open(file, encoding="utf-8").read(), file, "exec"))  # noqa: SIM115, PTH123
        if code.co_flags & 2  # a function: module and class bodies run on import
        for _, _, line in code.co_lines()
        if line is not None and line != code.co_firstlineno
    }
    reached: set[tuple[str, int]] = set()

    def trace(frame: FrameType, event: str, _argument: object) -> Any:
        if frame.f_code.co_filename not in files:
            return None
        if event == "line":
            reached.add((frame.f_code.co_filename, frame.f_lineno))
        return trace

    inputs = [*target.SEEDS, *(path.read_bytes() for path in sorted((FOLDER / name / "corpus").iterdir()))]
    sys.settrace(trace)
    try:
        for data in inputs:
            target.one_input(data)
    finally:
        sys.settrace(None)
    return f"{len(reached & possible) / len(possible):.0%} of {len(possible)}"
