"""Writes bags and verdicts as fast as it can, and is killed for it: ``python -m tests.chaos.journal --kills 1000``.

Each round forks a writer, reads what it announces (a verdict is announced when it may be published), kills it with
SIGKILL at a random point of the write path, opens the journal again and checks it. One writer in three meets a disk
that refuses after some kilobytes (RLIMIT_FSIZE), so that kills also fall between the spill file and the journal.
Prints one line of counts.
"""

from __future__ import annotations

import argparse
import logging
import os
import random
import resource
import signal
import sys
import tempfile
import time
from pathlib import Path

from edge.messages import Decision, Fault
from edge.verdict.actions import BagLeft, BagRecord, Now
from edge.verdict.bags import Bag, verdict_on
from edge.verdict.journal_check import check
from edge.verdict.policy import unknown
from edge.verdict.recorder import Recorder

NOW = Now(1_800_000_000_000_000_000, 0)
#: Where files may not grow beyond, for the writers whose disk refuses: the journal is full, the spill file is not.
FULL_BYTES = 96 << 10
#: Bags that such a writer decides before it stops by itself: the spill file must not be full.
WAITING_ROWS = 60


def write(path: Path, first: int, out: int, *, full: bool) -> None:
    """Decide bag after bag; a number is announced when its verdict may be published."""
    logging.disable(logging.CRITICAL)
    recorder = Recorder(path, boot_id=f"writer-{first}")
    recorder.open(NOW)
    if full:
        resource.setrlimit(resource.RLIMIT_FSIZE, (FULL_BYTES, resource.RLIM_INFINITY))
    number = first
    while recorder.waiting < WAITING_ROWS:
        bag = Bag(BagRecord(f"N{number}", "", number + 1, number, NOW.wall, NOW.wall, number), due_mono=0)
        recorder.bag(bag.record)
        recorder.left(BagLeft(bag.record.bag_id, number + 1, NOW.wall))
        verdict = recorder.verdict(verdict_on(bag, unknown(Fault.TIMEOUT, "test"), None, NOW), NOW)
        assert verdict is not None
        assert verdict.decision is Decision.UNKNOWN
        os.write(out, f"{verdict.seq} {verdict.bag_id} {int(bool(recorder.fault))}\n".encode())
        recorder.published(verdict.seq)
        number += 1
    signal.pause()


def kill_one(path: Path, first: int, rng: random.Random) -> list[tuple[int, str, bool]]:
    """One writer from birth to death; returns what it announced: sequence, bag, whether the disk refused it."""
    source, sink = os.pipe()
    full = rng.random() < 1 / 3
    child = os.fork()
    if child == 0:
        os.close(source)
        try:
            write(path, first, sink, full=full)
        finally:
            os._exit(1)
    os.close(sink)
    said = b""
    for _ in range(rng.randrange(1, 8)):
        said += os.read(source, 65536)
    time.sleep(rng.random() * (0.05 if full else 0.004))
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), "a writer ended by itself"
    while part := os.read(source, 65536):
        said += part
    os.close(source)
    lines = [line.split() for line in said.decode().split("\n")[:-1]]
    return [(int(seq), bag, refused == "1") for seq, bag, refused in lines]


def run(path: Path, kills: int, seed: int) -> str:
    """Kill so many writers; every announced verdict must be found once, and nothing twice. Returns the counts."""
    rng = random.Random(seed)  # noqa: S311
    announced: dict[int, str] = {}
    spilled = 0
    for number in range(kills):
        new = kill_one(path, 1_000_000 * number, rng)
        for seq, bag, refused in new:
            assert seq not in announced, f"sequence {seq} was given twice"
            announced[seq] = bag
            spilled += refused
        recorder = Recorder(path, boot_id="reader")
        open_bags = len(recorder.open(NOW))
        assert recorder.fault == ""
        assert recorder.journal is not None
        assert all(recorder.journal.final_seq(bag) == seq for seq, bag, _ in new), "a verdict was lost"
        assert recorder.last_seq >= max(announced, default=0)
        unsent, last = len(recorder.unpublished()), recorder.last_seq
        recorder.close()
    report = check(path)
    assert not report.problems, report.problems
    found = {verdict.seq: verdict.bag_id for verdict in report.verdicts}
    assert announced.items() <= found.items(), "a verdict was lost"
    return (
        f"{kills} kills, {len(announced)} announced ({spilled} while the disk refused), {last} journaled, "
        f"0 lost, 0 doubled, {open_bags} open, {unsent} perhaps unsent"
    )


def main() -> int:
    """Run on a file of its own, or on the one that is named."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.journal", description=__doc__)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--folder", type=Path, help="of the journal; default: a temporary one")
    args = parser.parse_args()
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory(prefix="dl-kills-") as name:
        print(run((args.folder or Path(name)) / "journal.sqlite", args.kills, args.seed))
    return 0


if __name__ == "__main__":
    sys.exit(main())
