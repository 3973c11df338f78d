"""One run of ``darklane bench readout``: starts the sender, receives, prints the figures as JSON."""

from __future__ import annotations

import argparse
import json
import logging
import os
import subprocess
import sys
from typing import Any

from edge.bench.receivers import RECEIVERS
from edge.bench.sender import line
from firmware_bridge import realtime


class Sender:
    """The process at the other end."""

    def __init__(self, rows: int, mtu: int, seconds: float) -> None:
        self._arguments = ["--rows", str(rows), "--mtu", str(mtu), "--seconds", str(seconds)]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, port: int) -> None:
        """Begin to send to ``port``; a priority below ours, so that other programs do not slow the stream either."""
        command = [sys.executable, "-m", "edge.bench.sender", "--port", str(port), *self._arguments]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE)
        if os.sched_getscheduler(0) == os.SCHED_FIFO:
            below = max(1, os.sched_getparam(0).sched_priority - 1)
            os.sched_setscheduler(self._process.pid, os.SCHED_FIFO, os.sched_param(below))

    def running(self) -> bool:
        """Whether it still sends."""
        return self._process is not None and self._process.poll() is None

    def result(self) -> dict[str, float]:
        """What it said; RuntimeError when it died."""
        assert self._process is not None
        output, _ = self._process.communicate()
        if self._process.returncode != 0:
            raise RuntimeError(f"the sender ended with exit code {self._process.returncode}")
        result: dict[str, float] = json.loads(output)
        return result


def measure(mtu: int, receiver: str, seconds: float, rows: int, priority: int, buffer_mib: int) -> dict[str, Any]:
    """One run; figures as in the table of ``darklane bench readout``, shares as fractions of one core."""
    if priority:
        # As the unit does it: the whole process, not only the thread that takes packets.
        realtime.make_fifo({0}, priority)
    frame = line(rows, mtu)
    sender = Sender(rows, mtu, seconds)
    got = RECEIVERS[receiver](frame, rows, buffer_mib, priority, sender.start, sender.running)
    sent = sender.result()
    return {
        "mtu": mtu,
        "receiver": receiver,
        "packets_per_frame": frame.packets,
        "line_hz": frame.rate_hz,
        "sent_hz": sent["frames"] / sent["seconds"],
        "seconds": sent["seconds"],
        "sent_frames": sent["frames"],
        "received_frames": got.frames,
        "lost_frames": sent["frames"] - got.frames,
        "received_packets": got.packets,
        "kernel_drops": got.kernel_drops,
        "receiver_cpu": got.cpu_s / sent["seconds"],
        "packet_thread_cpu": got.packet_cpu_s / sent["seconds"],
        "sender_cpu": sent["cpu_s"] / sent["seconds"],
        "buffer_mib": got.buffer_mib,
        "fifo": got.fifo,
    }


def main() -> int:
    """One run, one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--receiver", choices=sorted(RECEIVERS), required=True)
    for name in ("--mtu", "--rows", "--priority", "--buffer-mib"):
        parser.add_argument(name, type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    given = parser.parse_args()
    logging.basicConfig(stream=sys.stderr, format="%(levelname)s %(message)s")
    figures = measure(given.mtu, given.receiver, given.seconds, given.rows, given.priority, given.buffer_mib)
    sys.stdout.write(json.dumps(figures) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
