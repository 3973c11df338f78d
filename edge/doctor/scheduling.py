"""Does readout run at FIFO priority, or could it?"""

from __future__ import annotations

import os
import threading
from pathlib import Path

from edge.doctor.finding import Finding

SECTION = "kernel"
NAME = "readout priority"
READOUT = b"edge.readout.main"
REMEDY = "darklane install (CPUSchedulingPolicy=fifo in the unit), or rtprio in /etc/security/limits.d"


def policies(proc: Path = Path("/proc")) -> list[int]:
    """Scheduling policies of all threads of running readout processes (proc(5), field 41 of stat)."""
    found = []
    for process in proc.iterdir():
        if not process.name.isdigit():
            continue
        try:
            if READOUT not in (process / "cmdline").read_bytes().split(b"\0"):
                continue
            for thread in (process / "task").iterdir():
                found.append(int((thread / "stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[38]))
        except (OSError, IndexError, ValueError):
            continue  # it has ended meanwhile
    return found


def permitted(priority: int) -> bool:
    """Whether a thread of this process may take FIFO ``priority``; tried in a thread that ends at once."""
    allowed: list[bool] = []

    def attempt() -> None:
        try:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))
        except OSError:
            allowed.append(False)
        else:
            allowed.append(True)

    thread = threading.Thread(target=attempt)
    thread.start()
    thread.join()
    return allowed == [True]


def check(priority: int, running: list[int], *, permitted_here: bool, unit: bool) -> Finding:
    """``running``: :func:`policies`; ``unit``: darklane-readout.service is installed."""
    if priority == 0:
        return Finding(
            SECTION, NAME, "amber", "[detector] fifo_priority = 0: packets are lost under load", "set it to 20"
        )
    if os.SCHED_FIFO in running:
        return Finding(SECTION, NAME, "green", f"readout runs; {running.count(os.SCHED_FIFO)} of its threads are FIFO")
    if running:
        return Finding(SECTION, NAME, "red", "readout runs at normal priority: packets are lost under load", REMEDY)
    if unit:
        return Finding(SECTION, NAME, "green", "readout does not run; its unit gives it FIFO priority")
    if permitted_here:
        return Finding(SECTION, NAME, "green", f"readout does not run; FIFO {priority} is permitted to this user")
    return Finding(SECTION, NAME, "red", f"FIFO {priority} is not permitted to this user", REMEDY)
