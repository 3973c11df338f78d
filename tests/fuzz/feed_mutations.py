"""A million damaged inputs for each decoder of the feed's clients: ``python -m tests.fuzz.feed_mutations [--count N]``.

Prints how many were refused, how many were still right, and stops at the first that breaks a promise. The messages
carry no checksum (CURVE has one), so that what is "still right" may say something else than what was sent.
"""

from __future__ import annotations

import argparse
import logging
import random
import time
import warnings
from collections.abc import Callable

from edge import wire
from edge.client.recording import RecordingError
from edge.client.tracker import Tracker
from edge.dicos.common import DicosError
from tests.fuzz import dicos, feed_client, feed_recording
from tests.fuzz.mutations import MUTATIONS

#: Messages that one client takes before it is looked at and another begins.
_ROUND = 200


class _Client:
    """Damaged messages one after the other into a client's rules."""

    def __init__(self) -> None:
        self._number = 0
        self._tracker = Tracker(0, True, 0.0)

    def __call__(self, rng: random.Random) -> bool:
        self._number += 1
        if self._number % _ROUND == 0:
            feed_client.check(self._tracker)
            self._tracker = Tracker(0, True, 0.0)
        frames = list(rng.choice(feed_client.MESSAGES))
        index = rng.randrange(len(frames))
        frames[index] = damaged(rng, frames[index])
        now = self._number * 0.01
        self._tracker.request(now)
        try:
            feed_client.take(self._tracker, frames, now)
        except wire.WireError:
            return False
        self._tracker.tick(now)
        return True


def damaged(rng: random.Random, data: bytes) -> bytes:
    """``data`` with one to three kinds of damage."""
    line = bytearray(data)
    for _ in range(rng.randrange(1, 4)):
        if line:
            rng.choice(MUTATIONS)(rng, line)
    return bytes(line)


def _recording(rng: random.Random) -> bool:
    feed_recording._PATH.write_bytes(damaged(rng, feed_recording.SEEDS[0]))
    try:
        read = feed_recording.read()
    except RecordingError:
        return False
    assert read == feed_recording.GOOD[: len(read)], "damage was taken for a message"
    return True


def _dicos(rng: random.Random) -> bool:
    try:
        dicos.accept(damaged(rng, rng.choice(dicos.SEEDS)))
    except DicosError:
        return False
    return True


CAMPAIGNS: dict[str, Callable[[], Callable[[random.Random], bool]]] = {
    "client": _Client,
    "recording": lambda: _recording,
    "dicos": lambda: _dicos,
}


def run(name: str, count: int, seed: int) -> tuple[int, int]:
    """How many of ``count`` damaged inputs were refused, and how many were read."""
    rng, feed = random.Random(seed), CAMPAIGNS[name]()  # noqa: S311
    read = sum(feed(rng) for _ in range(count))
    return count - read, read


def main() -> None:
    """Run the campaigns and print one line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("names", nargs="*", default=list(CAMPAIGNS))
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    for name in options.names:
        begun = time.monotonic()
        refused, read = run(name, options.count, options.seed)
        took = time.monotonic() - begun
        print(f"| {name} | {options.count} | {refused} | {read} | {took:.0f} s | no finding |", flush=True)


if __name__ == "__main__":
    main()
