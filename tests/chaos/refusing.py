"""A disk that really refuses: ``python -m tests.chaos.refusing full|read-only|limit FOLDER``; 0 when all held.

full: a tmpfs without a free byte (ENOSPC). read-only: a tmpfs mounted read-only (EROFS). Both need a mount namespace.
limit: RLIMIT_FSIZE (EFBIG), for machines where that is not allowed. The service is killed while the disk refuses.
"""

from __future__ import annotations

import logging
import os
import resource
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from edge import wire
from edge.bus import Stamp
from edge.config import Config
from edge.gateway.answers import Answerer
from edge.gateway.memory import Known
from edge.messages import Decision, Fault, FeedReply, FeedRequest, Verdict
from edge.verdict.bags import new_bag, verdict_on
from edge.verdict.journal import FILE_NAME
from edge.verdict.journal_check import check
from edge.verdict.journal_reader import JournalReader
from edge.verdict.policy import Judgement
from edge.verdict.recorder import Recorder
from tests.chaos.disk import MARK, enter_namespace
from tests.edge.verdict_scene import LIMITS, assessment, at, entry

CLEAR = Judgement(Decision.CLEAR, None, "", 0.5)
ALARM = Judgement(Decision.ALARM, None, "", 0.5)
LIMIT_BYTES = 64 << 10


def decide(recorder: Recorder, name: str, number: int, judgement: Judgement = CLEAR) -> Verdict | None:
    """A bag enters and is decided."""
    bag = new_bag(name, entry(name, 1000 * number, 1, number), at(1).wall, LIMITS, at(1))
    recorder.bag(bag.record)
    return recorder.verdict(verdict_on(bag, judgement, assessment(name), at(2)), at(2))


def opened(folder: Path) -> Recorder:
    """A service that has just started; its run directory is on another disk."""
    recorder = Recorder(folder / "disk" / FILE_NAME, boot_id="boot", run_dir=folder / "run")
    recorder.open(at(0))
    return recorder


def refused(folder: Path) -> None:
    """Decide bags until the disk refuses, then some more, and die of SIGKILL. ``told``: what was published."""
    recorder = opened(folder)
    told = (folder / "told").open("a", encoding="utf-8", buffering=1)
    for number in range(10, 500):
        verdict = decide(recorder, f"N{number}", number)
        assert verdict is not None
        print(verdict.model_dump_json(), file=told)
        if recorder.fault:
            break
    assert verdict is not None
    assert verdict.decision is Decision.UNKNOWN, verdict
    assert verdict.reason is Fault.FAILED_RECON
    assert "not in the journal" in verdict.detail
    alarm = decide(recorder, "Z", 900, ALARM)
    assert alarm is not None
    assert alarm.decision is Decision.ALARM
    print(alarm.model_dump_json(), file=told)
    recorder.bag(new_bag("OPEN", entry("OPEN", 901_000, 1, 901), at(1).wall, LIMITS, at(1)).record)
    print(f"refused at bag {number}: {recorder.fault}", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)


def replayed(folder: Path) -> list[Verdict]:
    """What a gateway gives that was killed too and has heard nothing."""
    lane = {"state_dir": str(folder / "disk"), "run_dir": str(folder / "run")}
    answer = Answerer(Config.model_validate({"lane": lane}), Stamp("gateway"))
    found: list[Verdict] = []
    more = True
    while more:
        request = FeedRequest(ask="replay", after_seq=found[-1].seq if found else 0)
        reply = wire.decode([bytes(frame) for frame in answer(request, Known())], FeedReply)[1]
        assert reply.ok, reply.reason
        found += reply.verdicts
        more = reply.more
    return found


def story(folder: Path, refuse: Callable[[], None], allow: Callable[[], None]) -> None:
    """Write, refuse, be killed, start again, recover; nothing published is lost or decided again."""
    first = opened(folder)
    clear = decide(first, "A", 1)
    assert clear is not None
    assert clear.decision is Decision.CLEAR
    first.close()
    refuse()
    child = os.fork()
    if child == 0:
        try:
            refused(folder)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), "it should have been killed"
    published = [clear, *map(Verdict.model_validate_json, (folder / "told").read_text(encoding="utf-8").splitlines())]
    assert replayed(folder) == published, "while the service is dead"
    again = opened(folder)
    assert replayed(folder) == published, "while it waits for the disk"
    known = again.find("Z")
    assert known is not None
    assert known.final is not None
    assert known.final.decision is Decision.ALARM
    assert decide(again, "Z", 900) is None, "a second final verdict"
    assert again.fault
    before = again.last_seq
    assert [verdict.bag_id for verdict in again.unpublished()][-1] == "Z"
    allow()
    bags = again.tick(at(5))
    assert again.fault == "", again.fault
    later = decide(again, "LATER", 950)
    assert later is not None
    assert (later.decision, later.seq) == (Decision.CLEAR, before + 1)
    again.close()
    with JournalReader(folder / "disk" / FILE_NAME) as journal:
        assert journal.verdicts() == [*published, later], "what was published is not what was journaled"
    assert replayed(folder) == [*published, later]
    report = check(folder / "disk" / FILE_NAME)
    assert report.problems == []
    assert report.waiting == 0
    assert report.open_bags == ["OPEN"], (report.open_bags, bags)
    print(report.line())


def main() -> int:
    """Make the disk, tell the story."""
    logging.disable(logging.CRITICAL)
    namespace = MARK in sys.argv
    kind, name = [word for word in sys.argv[1:] if word != MARK]
    folder, disk = Path(name), Path(name) / "disk"
    disk.mkdir(exist_ok=True)
    if kind == "limit":
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        story(
            folder,
            lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT_BYTES, hard)),
            lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard)),
        )
        return 0
    if not namespace:
        enter_namespace("tests.chaos.refusing", sys.argv[1:])
        return 77
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(disk)], check=True)
    if kind == "full":
        story(folder, lambda: _fill(disk / "filler"), (disk / "filler").unlink)
    else:
        story(folder, lambda: _mount(disk, "ro"), lambda: _mount(disk, "rw"))
    return 0


def _fill(path: Path) -> None:
    with path.open("ab", buffering=0) as file, suppress(OSError):
        for size in (4096, 1):
            with suppress(OSError):
                while file.write(bytes(size)) == size:
                    pass


def _mount(disk: Path, mode: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{mode}", str(disk)], check=True)


if __name__ == "__main__":
    sys.exit(main())
