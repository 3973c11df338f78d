"""Counts and logs who was turned away. A stranger sees only silence; the operator must see more."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

#: Lines per period; what is beyond is counted, so that a stranger cannot fill the log.
LINES: Final = 10
PERIOD_S: Final = 10.0


class Refusals:
    """``count`` gets ``refused`` and ``refused_<reason>``."""

    def __init__(
        self, count: Callable[[str], None], log: logging.Logger, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._count = count
        self._log = log
        self._clock = clock
        self._since = clock()
        self._lines = 0
        self._unsaid = 0

    def __call__(self, reason: str, address: str, detail: str) -> None:
        """One refused handshake. ``reason``: word of the counter; ``address``: of the peer, or empty."""
        self._count("refused")
        self._count(f"refused_{reason}")
        if self._clock() - self._since >= PERIOD_S:
            self._since, self._lines = self._clock(), 0
        self._lines += 1
        if self._lines > LINES:
            self._unsaid += 1
            return
        more = f" ({self._unsaid} more were not logged)" if self._unsaid else ""
        self._unsaid = 0
        self._log.warning("refused %s: %s%s", address or "a peer that was gone at once", detail, more)
