"""A client is cut off while verdicts go on: ``python -m tests.chaos.cut [--seconds 30]``; a line for each kind of cut.

The gateway is the real service in a process of its own, with CURVE; journal and feed are the verdict service's. One
client stays, one is cut off for so many seconds of the clock by a proxy between it and the gateway, one joins in the
end. All three must end with the journal, each verdict once and in order; exit code 1 when one does not.
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, get_args

from edge.client import FeedClient, Gap, Keys, Renumbered, Silence
from edge.client.items import Item
from edge.messages import Hello, LaneState, Verdict
from edge.security import key_file
from edge.verdict.journal import FILE_NAME
from edge.verdict.journal_reader import JournalReader
from tests.chaos.proxy import Kind, Proxy
from tests.edge.gateway_bench import LOCAL, GatewayBench
from tests.ports import free_port

ROOT: Final = Path(__file__).parents[2]
#: Verdicts come so often, and heartbeats, s.
VERDICT_S: Final = 0.1
HEARTBEAT_S: Final = 1.0
#: Verdicts before the cut, and after it.
AROUND: Final = 10
PATIENCE_S: Final = 60.0


@dataclass
class Listener:
    """One client and what it said."""

    client: FeedClient
    items: list[Item] = field(default_factory=list)

    def listen(self) -> None:
        """Take what there is."""
        while (item := self.client.next(0.0)) is not None:
            self.items.append(item)

    @property
    def seqs(self) -> list[int]:
        """Of the verdicts that it gave."""
        return [item.seq for item in self.items if isinstance(item, Verdict)]

    def count(self, kind: type) -> int:
        """How many items of this kind it gave."""
        return sum(isinstance(item, kind) for item in self.items)


class Scene:
    """Lane, gateway, proxies and clients."""

    def __init__(self) -> None:
        ports = [free_port(socket.SOCK_STREAM) for _ in range(2)]
        self.bench = GatewayBench(feed=f"tcp://127.0.0.1:{ports[0]}", requests=f"tcp://127.0.0.1:{ports[1]}")
        self.bench.keys.new_server()
        key_file.write(self.bench.state_dir / "me.key_secret", self.bench.allowed("me"))
        self._keys = Keys.load(self.bench.keys.public_file, self.bench.state_dir / "me.key_secret")
        self.proxies = [Proxy(port) for port in ports]
        command = [sys.executable, "-m", "edge.gateway.main", "--config", str(self.bench.config_file)]
        self._gateway = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=subprocess.DEVNULL
        )
        self._ports = ports
        self.listeners: list[Listener] = []
        self.last = 0
        self._verdict_due = self._heartbeat_due = 0.0

    def join(self, *, proxied: bool = False) -> Listener:
        """One more client, which wants everything from the beginning."""
        ports = [proxy.port for proxy in self.proxies] if proxied else self._ports
        feed, requests = (LOCAL.replace("*", str(port)) for port in ports)
        self.listeners.append(Listener(FeedClient(feed, requests, keys=self._keys, after=0)))
        return self.listeners[-1]

    def turn(self, *, deciding: bool) -> None:
        """A moment of the lane and of all clients."""
        now = time.monotonic()
        if self.bench.feed.greeted():
            self.bench.say("hello", Hello(lane="lane-1", last_verdict_seq=self.last))
        if now >= self._heartbeat_due:
            self._heartbeat_due = now + HEARTBEAT_S
            self.bench.say("lane.state", LaneState(state="READY"))
        if deciding and now >= self._verdict_due:
            self._verdict_due = now + VERDICT_S
            self.last += 1
            self.bench.verdict(f"B{self.last}", self.last)
        for listener in self.listeners:
            listener.listen()
        time.sleep(0.01)

    def decide(self, number: int) -> None:
        """So many verdicts more."""
        until = self.last + number
        while self.last < until:
            self.turn(deciding=True)

    def settle(self) -> float:
        """Wait until every client has every verdict; s that it took."""
        begun = time.monotonic()
        while not all(listener.client.last_seq == self.last for listener in self.listeners):
            self.turn(deciding=False)
            if time.monotonic() - begun > PATIENCE_S:
                return float("inf")
        return time.monotonic() - begun

    def close(self) -> None:
        """End everything."""
        for listener in self.listeners:
            listener.client.close()
        for proxy in self.proxies:
            proxy.close()
        self._gateway.kill()
        self._gateway.wait()
        self.bench.close()


def run(kind: Kind, seconds: float) -> tuple[str, bool]:
    """One cut of ``seconds``; a line about it, and whether all held."""
    scene = Scene()
    try:
        scene.join()
        away = scene.join(proxied=True)
        scene.decide(AROUND)
        scene.settle()
        before, quiet = scene.last, away.count(Silence)
        for proxy in scene.proxies:
            proxy.cut(kind)
        begun = time.monotonic()
        while time.monotonic() - begun < seconds:
            scene.turn(deciding=True)
        heard, missed, silent = away.seqs[-1], scene.last - before, away.count(Silence) - quiet
        for proxy in scene.proxies:
            proxy.heal()
        took = time.monotonic() - begun
        healed = time.monotonic()
        while away.client.last_seq != scene.last and time.monotonic() - healed < PATIENCE_S:
            scene.turn(deciding=True)
        caught_up = time.monotonic() - healed
        scene.join()
        scene.decide(AROUND)
        scene.settle()
        with JournalReader(scene.bench.state_dir / FILE_NAME) as journal:
            wanted = [verdict.seq for verdict in journal.verdicts()]
        same = [listener.seqs == wanted == list(range(1, scene.last + 1)) for listener in scene.listeners]
        told = sum(listener.count(item) for listener in scene.listeners for item in (Gap, Renumbered))
    finally:
        scene.close()
    line = (
        f"{kind} of {took:.1f} s: {missed} verdicts meanwhile, of which the client that was cut off had "
        f"{heard - before}; it said silence {silent} time(s) and had all of them {caught_up:.1f} s after the end; "
        f"{scene.last} in all: the one that stayed {_said(same[0])}, the one that was cut off {_said(same[1])}, "
        f"the late one {_said(same[2])}, {told} gaps"
    )
    return line, all(same) and not told and heard - before < missed


def _said(same: bool) -> str:
    return "same" if same else "DIFFERS"


def main() -> int:
    """Both kinds of cut."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0)
    options = parser.parse_args()
    good = True
    for kind in get_args(Kind):
        line, held = run(kind, options.seconds)
        print(line, flush=True)
        good = good and held
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
