"""What is made from a bag's finished file: the sheet, and DICOS files where they are wanted."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from edge.archive.sheet import write_sheet
from edge.config import Config
from edge.dicos.common import DicosError
from edge.dicos.spool import export


class Derived:
    """Never raises: a picture that cannot be drawn must not cost the lane its archive."""

    def __init__(self, config: Config, log: logging.Logger, count: Callable[[str, int], None]) -> None:
        self._sheets = config.archive.sheets
        self._dicos = config.device_path(config.dicos.folder) if config.dicos.enabled else None
        self._log = log
        self._count = count

    def write(self, path: Path) -> None:
        """Make what belongs to the archive file ``path``."""
        if self._sheets:
            try:
                write_sheet(path)
            except Exception:
                self._count("failed_sheets", 1)
                self._log.exception("no sheet for %s", path)
        if self._dicos is not None:
            try:
                self._count("dicos_files", len(export(path, self._dicos)))
            except Exception as error:
                self._count("failed_dicos", 1)
                self._log.error("no DICOS files: %s", error, exc_info=not isinstance(error, DicosError))
