"""What a client of the feed reads: messages and replies of a gateway that may be anybody's, into its rules."""

from __future__ import annotations

from contextlib import suppress

import numpy as np

from edge import wire
from edge.client import connection
from edge.client.items import Gap, Picture, Renumbered
from edge.client.tracker import MAX_WAITING, REMEMBERED, Tracker
from edge.messages import CHANNELS, BagImage, BagNotice, FeedReply, Hello, LaneState, Verdict
from tests.fuzz.portions import Portions

INSTRUMENT = ("edge.wire", "edge.client.connection", "edge.client.tracker")


def _verdict(seq: int, **more: object) -> Verdict:
    base = {"bag_id": f"B{seq}", "decision": "UNKNOWN", "iata": "UCL", "reason": "Timeout", "seq": seq, "t_ns": seq}
    return Verdict.model_validate({**base, **more})


_IMAGE = BagImage(bag_id="B1", rows=1, columns=2, channels=CHANNELS, pixel_mm=(1.0, 1.0), preview=True)
_PIXELS = {"image": np.zeros((4, 2, 1, 2), np.float32)}
MESSAGES = tuple(
    tuple(bytes(frame) for frame in frames)
    for frames in (
        wire.encode("hello", Hello(lane="lane-1", last_verdict_seq=3)),
        wire.encode("lane.state", LaneState(state="READY")),
        wire.encode("bag.start", BagNotice(bag_id="B1")),
        wire.encode("bag.verdict", _verdict(1)),
        wire.encode("bag.verdict", _verdict(4, final=False, supersedes=1)),
        wire.encode("bag.image", _IMAGE, _PIXELS),
        wire.encode("reply", FeedReply(request_id="1", ok=True, last_seq=4, bags=(BagNotice(bag_id="B4"),))),
        wire.encode("reply", FeedReply(request_id="2", ok=True, last_seq=4, verdicts=(_verdict(2), _verdict(3)))),
    )
)


def pack(*messages: tuple[bytes, ...]) -> bytes:
    """Messages as one input: number of frames, then each with its length before it."""
    out = b""
    for frames in messages:
        out += bytes([len(frames)]) + b"".join(len(frame).to_bytes(2, "big") + frame for frame in frames)
    return out


SEEDS = (pack(*MESSAGES), pack(*MESSAGES[3:5], *MESSAGES[6:]), *(pack(message) for message in MESSAGES))


def one_input(data: bytes) -> None:
    """Whatever comes, the client goes on, in bounded memory, and its verdicts have numbers that only go up."""
    script, tracker, now = Portions(data), Tracker(0, True, 0.0), 0.0
    while script:
        frames = [script.take(int.from_bytes(script.take(2), "big")) for _ in range(script.take(1)[0] % 4)]
        now += 0.7
        with suppress(wire.WireError):
            take(tracker, frames, now)
        tracker.request(now)
        tracker.tick(now)
    check(tracker)


def take(tracker: Tracker, frames: list[bytes], now: float) -> None:
    """One message into the client's rules, as a session does; :class:`~edge.wire.WireError` when it is none."""
    if frames[:1] == [b"reply"]:
        answer = connection.decode_reply(frames)
        if isinstance(answer, FeedReply):
            tracker.reply(answer, now)
        return
    _, message = connection.decode(frames)
    if isinstance(message, Picture):
        assert message.image.dtype == np.float32
        assert message.image.shape[2:] == (message.header.rows, message.header.columns)
    else:
        tracker.message(message, now)


def check(tracker: Tracker) -> None:
    """What must hold of everything that came out."""
    last = 0
    for item in tracker.items:
        if isinstance(item, Renumbered):
            last = item.found - 1
        elif isinstance(item, Gap):
            assert item.first == last + 1
            last = item.last
        elif isinstance(item, Verdict):
            # Numbers are passed over without a word only for what was handed out before.
            assert item.seq > last
            last = item.seq
    assert len(tracker._waiting) <= MAX_WAITING + 500
    assert len(tracker._seen) <= REMEMBERED
