"""Checks an audit from its first line to its last, and names the first place that is not as it was written."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from edge.audit.line import NOTHING, Line, digest, finished, parse
from edge.audit.log import files

#: How much of an unfinished line is shown, characters.
_SHOWN: Final = 40


@dataclass
class Report:
    """``problem`` is empty when the chain is whole. ``notes``: lines that a power failure cut."""

    lines: int = 0
    head: str = NOTHING
    problem: str = ""
    #: Number of the first line that was changed, removed or inserted; 0 when there is none.
    at: int = 0
    notes: list[str] = field(default_factory=list)


def check(folder: Path, head: str = "") -> Report:
    """Check the audit in ``folder``. ``head``: hash of a line that was noted before; it must still be there."""
    found = files(folder)
    if not found and not head:
        return Report()
    checker = _Checker()
    for path in found:
        lines = path.read_bytes().split(b"\n")
        checker.cut = bool(lines[-1])
        if not lines[-1]:
            lines.pop()
        for number, content in enumerate(lines, 1):
            checker.take(content, f"{path.name}:{number}")
            if checker.report.problem:
                return checker.report
    checker.end(head)
    return checker.report


class _Checker:
    def __init__(self) -> None:
        self.report = Report()
        self._known: dict[str, int] = {NOTHING: 0}
        self._unfinished: list[tuple[str, bytes]] = []
        self._place = ""
        #: Whether the file that is read ends without a line end.
        self.cut = False

    def take(self, content: bytes, place: str) -> None:
        """One line of a file."""
        line = parse(content)
        if line is not None:
            self._torn(line, place)
            if not self.report.problem:
                self._link(line, place)
        elif finished(content):
            self._bad(self.report.lines + 1, f"{place}: line {self.report.lines + 1} was changed")
        else:
            self._unfinished.append((place, content))

    def end(self, head: str) -> None:
        """No more lines."""
        if self._unfinished:
            place, content = self._unfinished[0]
            if not self.cut:
                self._bad(self.report.lines + 1, f"{place}: this is no line of the audit: inserted, or changed")
                return
            self._note(place, content, "the last line is unfinished: the power went, or somebody cut it off")
        if head and head not in self._known:
            n = self.report.lines + 1
            self._bad(n, f"no line has the hash {head}: lines from {n} on were removed, or all were written anew")

    def _torn(self, line: Line, place: str) -> None:
        """Bytes that the power cut: the line after them says what they were."""
        pending, self._unfinished = self._unfinished, []
        if pending and digest(b"\n".join(content for _, content in pending)) == line.torn:
            self._note(*pending[0], "an unfinished line; the power went")
        elif pending:
            self._bad(self.report.lines + 1, f"{pending[0][0]}: this is no line of the audit: inserted, or changed")
        elif line.torn:
            self._bad(line.n, f"{place}: the unfinished line before line {line.n} was removed")

    def _link(self, line: Line, place: str) -> None:
        before, expected = self.report.lines, self.report.lines + 1
        if line.sha256 in self._known:
            self._bad(expected, f"{place}: a copy of line {self._known[line.sha256]} was inserted")
        elif line.prev == self.report.head and line.n == expected:
            self._known[line.sha256] = line.n
            self.report.lines, self.report.head, self._place = line.n, line.sha256, place
        elif line.prev in self._known:
            first = self._known[line.prev] + 1
            if line.n == first:
                self._bad(first, f"lines {first} to {before}, up to {self._place}, were inserted")
            else:
                self._bad(expected, f"{place}: line {line.n} follows line {first - 1} here: inserted")
        elif line.n > expected:
            self._bad(expected, f"before {place}: lines {expected} to {line.n - 1} were removed")
        elif line.n == expected and before:
            self._bad(before, f"{self._place}: line {before} was changed, and its hash made anew")
        else:
            self._bad(expected, f"{place}: line {line.n} does not follow line {before}: inserted")

    def _note(self, place: str, content: bytes, what: str) -> None:
        self.report.notes.append(f"{place}: {what} ({content[:_SHOWN]!r})")

    def _bad(self, at: int, problem: str) -> None:
        self.report.problem, self.report.at = problem, at
