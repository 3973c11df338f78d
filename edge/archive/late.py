"""Verdicts that come twice, and verdicts that come after the bag's file was written."""

from __future__ import annotations

from pathlib import Path

from edge.archive.hdf5 import attach_verdict
from edge.archive.reader import BagFile
from edge.messages import Message, Verdict


def add_late_verdict(path: Path, verdict: Verdict) -> bool:
    """Put ``verdict`` into a written file: as its verdict when it has none, else as a supplement. False if known."""
    with BagFile(path) as file:
        present, supplements = file.verdict, file.supplements
    if present is None and verdict.final:
        present = verdict
    elif is_known(verdict, present, supplements):
        return False
    else:
        supplements = [*supplements, verdict]
    attach_verdict(path, present, supplements)
    return True


def is_known(verdict: Verdict, final: Verdict | None, supplements: list[Verdict]) -> bool:
    """Whether ``verdict`` says again what is there; a restarted verdict service repeats what it may not have sent."""

    def said(message: Verdict) -> dict[str, object]:
        return message.model_dump(exclude=set(Message.model_fields))

    return any(said(verdict) == said(other) for other in (final, *supplements) if other is not None)
