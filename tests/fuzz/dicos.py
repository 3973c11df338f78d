"""DICOS files: whatever a file holds, our check refuses it by its own error or finds nothing wrong with it."""

from __future__ import annotations

import io
import warnings
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from edge.dicos.common import DicosError
from edge.dicos.spool import export
from edge.dicos.validate import check, problems
from tests.edge.archive_bags import bag
from tests.edge.dicos_bags import archived

INSTRUMENT = ("edge.dicos.validate",)


def _files() -> tuple[bytes, ...]:
    with TemporaryDirectory(prefix="dld") as folder:
        paths = export(archived(Path(folder), bag(rows=16, columns=48).verdict(seq=3)), Path(folder) / "dicos")
        return tuple(path.read_bytes() for path in reversed(paths))


SEEDS = _files()


def one_input(data: bytes) -> None:
    """What is accepted is still right after it was written and read again."""
    with warnings.catch_warnings(), suppress(DicosError):
        warnings.simplefilter("ignore")
        accept(data)


def accept(data: bytes) -> None:
    """:class:`~edge.dicos.common.DicosError` unless ``data`` is a right file."""
    read = check(data)
    buffer = io.BytesIO()
    try:
        read.save_as(buffer)
    except Exception:
        return  # parts that nobody looked at may be beyond writing
    assert problems(check(buffer.getvalue())) == []
