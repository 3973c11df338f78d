"""Writes bags and verdicts as fast as it can, and is killed for it: run as a program by test_journal.

``python journal_victim.py FILE ROUNDS SEED``: each round forks a writer, reads what it announces (only after it was
written), kills it with SIGKILL at a random point of the write path, opens the journal again and checks it.
Prints one line of counts.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path

from edge.messages import Decision, Fault
from edge.verdict.actions import BagLeft, BagRecord, Now
from edge.verdict.bags import Bag, verdict_on
from edge.verdict.policy import unknown
from edge.verdict.recorder import Recorder

NOW = Now(1_800_000_000_000_000_000, 0)


def write(path: Path, first: int, out: int) -> None:
    """Decide bag after bag; a number is announced when its verdict may be published."""
    recorder = Recorder(path, boot_id=f"writer-{first}")
    recorder.open(NOW)
    number = first
    while True:
        bag = Bag(BagRecord(f"N{number}", "", number + 1, number, NOW.wall, NOW.wall, number), due_mono=0)
        recorder.bag(bag.record)
        recorder.left(BagLeft(bag.record.bag_id, number + 1, NOW.wall))
        verdict = recorder.verdict(verdict_on(bag, unknown(Fault.TIMEOUT, "test"), None, NOW), NOW)
        assert verdict is not None
        assert verdict.decision is Decision.UNKNOWN
        os.write(out, f"{verdict.seq} {verdict.bag_id}\n".encode())
        recorder.published(verdict.seq)
        number += 1


def kill_one(path: Path, first: int, rng: random.Random) -> list[tuple[int, str]]:
    """One writer from birth to death; returns what it announced."""
    source, sink = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(source)
        write(path, first, sink)
    os.close(sink)
    said = b""
    for _ in range(rng.randrange(1, 8)):
        said += os.read(source, 65536)
    time.sleep(rng.random() * 0.004)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    while part := os.read(source, 65536):
        said += part
    os.close(source)
    lines = said.decode().split("\n")[:-1]
    return [(int(seq), bag) for seq, bag in (line.split() for line in lines)]


def main() -> int:
    """Kill so many writers; every announced verdict must be found once, and nothing twice."""
    path, rounds, rng = Path(sys.argv[1]), int(sys.argv[2]), random.Random(int(sys.argv[3]))  # noqa: S311
    announced: dict[int, str] = {}
    open_bags = unsent = 0
    for _ in range(rounds):
        for seq, bag in kill_one(path, 1_000_000 * len(announced), rng):
            assert seq not in announced, f"sequence {seq} was given twice"
            announced[seq] = bag
        recorder = Recorder(path, boot_id="reader")
        open_bags = len(recorder.open(NOW))
        assert recorder.fault == ""
        assert recorder.journal is not None
        unsent = len(recorder.unpublished())
        last = recorder.last_seq
        assert all(recorder.journal.final_seq(bag) == seq for seq, bag in announced.items()), "a verdict was lost"
        assert last >= max(announced, default=0)
        recorder.close()
    print(f"{rounds} kills, {len(announced)} announced, {last} journaled, {open_bags} open, {unsent} perhaps unsent")
    return 0


if __name__ == "__main__":
    sys.exit(main())
