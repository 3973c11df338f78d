"""Where CuPy keeps what it compiled, on a machine whose root file system is read-only."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

#: CuPy's own variables: the folder of compiled code, and to do without one.
FOLDER, IN_MEMORY = "CUPY_CACHE_DIR", "CUPY_CACHE_IN_MEMORY"
#: systemd names the service's own writable folder(s) here, separated by colons.
SYSTEMD_CACHE = "CACHE_DIRECTORY"

_log = logging.getLogger(__name__)


def with_usable_cache(compile_all: Callable[[], T]) -> T:
    """Run ``compile_all`` with CuPy's cache in the folder that the operator or systemd gave.

    Where that cannot be written, everything is compiled into memory, at every start: slower to READY, nothing else.
    """
    given = os.environ.get(SYSTEMD_CACHE, "").split(":")[0]
    if given:
        os.environ.setdefault(FOLDER, str(Path(given) / "cupy"))
    try:
        return compile_all()
    except OSError as error:
        _log.warning(
            "compiled GPU code cannot be kept (%s): compiling at every start; set %s to a folder that can be written",
            error,
            FOLDER,
        )
        os.environ[IN_MEMORY] = "1"
        return compile_all()
