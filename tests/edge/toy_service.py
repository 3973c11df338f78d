"""A service for the supervisor's tests: says ready, counts, ends when told by a file."""

from __future__ import annotations

import os
import sys

from edge.bus import Bus
from edge.config import Config
from edge.loop import Loop, start


def body(config: Config, bus: Bus) -> None:
    loop = Loop(bus, "ticks")
    order = config.state_dir / "die"

    def tick() -> None:
        loop.worked()
        if order.exists():
            order.unlink()
            os._exit(3)

    loop.every_tick(tick)
    loop.run()


if __name__ == "__main__":
    sys.exit(start("toy", body))
