"""What the gateway has heard on the feed: enough for a snapshot, and for verdicts that the disk refused."""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from edge import topics, wire
from edge.messages import BagNotice, Hello, LaneState, Verdict

VERDICTS: Final = 500
#: More bags than can be in a lane at once: those whose end was not heard.
BAGS: Final = 256
#: A lane whose heartbeat is older than so many periods is silent.
SILENT_AFTER: Final = 3


@dataclass(frozen=True)
class Known:
    """What was known at one moment; handed to the thread that answers requests."""

    hello: Hello | None = None
    state: LaneState | None = None
    bags: tuple[BagNotice, ...] = ()
    #: Newest verdicts in order of sequence, as they were sent.
    verdicts: tuple[tuple[int, list[bytes]], ...] = ()
    last_seq: int = 0


class Memory:
    """Fed with every message of the feed."""

    def __init__(self) -> None:
        self.hello: Hello | None = None
        self.last_seq = 0
        self._state: LaneState | None = None
        self._state_s = 0.0
        self._bags: OrderedDict[str, BagNotice] = OrderedDict()
        self._verdicts: deque[tuple[int, list[bytes]]] = deque(maxlen=VERDICTS)

    def heard(self, frames: Sequence[bytes]) -> Hello | LaneState | BagNotice | Verdict | None:
        """Take one message; returns it. :class:`edge.wire.WireError` when it is not one of the feed's."""
        topic, message, _ = wire.decode_any(frames)
        if isinstance(message, Hello):
            self._greeted(message)
        elif isinstance(message, LaneState):
            self._state, self._state_s = message, time.monotonic()
        elif isinstance(message, BagNotice):
            self._bags.pop(message.bag_id, None)
            if topic == topics.BAG_START:
                self._bags[message.bag_id] = message
            while len(self._bags) > BAGS:
                self._bags.popitem(last=False)
        elif isinstance(message, Verdict):
            self._verdict(message, frames)
        else:
            raise wire.WireError(f"{type(message).__name__} is no message of the feed")
        return message

    def _verdict(self, verdict: Verdict, frames: Sequence[bytes]) -> None:
        if verdict.final:
            self._bags.pop(verdict.bag_id, None)
        self.last_seq = max(self.last_seq, verdict.seq)
        # A repeat after a restart of the verdict service is there already.
        if not self._verdicts or verdict.seq > self._verdicts[-1][0]:
            self._verdicts.append((verdict.seq, list(frames)))

    def _greeted(self, hello: Hello) -> None:
        if self.hello is not None and hello.boot_id != self.hello.boot_id and hello.last_verdict_seq < self.last_seq:
            # Another journal: somebody moved the old one away.
            self._verdicts.clear()
            self._bags.clear()
            self.last_seq = 0
        self.hello = hello
        self.last_seq = max(self.last_seq, hello.last_verdict_seq)

    def known(self) -> Known:
        """Everything, as it is now."""
        period_s = self.hello.heartbeat_s if self.hello else 1.0
        silent = time.monotonic() - self._state_s > SILENT_AFTER * period_s
        return Known(
            hello=self.hello,
            state=None if silent else self._state,
            bags=tuple(self._bags.values()),
            verdicts=tuple(self._verdicts),
            last_seq=self.last_seq,
        )
