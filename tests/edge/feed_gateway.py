"""A gateway in a few lines, for tests of the feed client: XPUB and ROUTER over a list of verdicts."""

from __future__ import annotations

import zmq

from edge import wire
from edge.messages import BagNotice, FeedReply, FeedRequest, Hello, LaneState, Message, Verdict
from tests.edge.verdict_scene import WALL0

LIMIT = 500


def verdict(seq: int, **changes: object) -> Verdict:
    """An UNKNOWN that says by its bag id which one it is."""
    base: dict[str, object] = {
        "bag_id": f"B{seq}",
        "decision": "UNKNOWN",
        "iata": "UCL",
        "reason": "Timeout",
        "seq": seq,
        "boot_id": "boot-1",
        "t_ns": WALL0 + seq,
    }
    return Verdict.model_validate({**base, **changes})


def answer(
    request: FeedRequest, journal: list[Verdict], lane: LaneState | None, bags: tuple[BagNotice, ...]
) -> FeedReply:
    """What a gateway with this journal answers."""
    last = max((v.seq for v in journal), default=0)
    fields: dict[str, object] = {"request_id": request.request_id, "ok": True, "last_seq": last}
    if request.ask == "snapshot":
        fields |= {"hello": Hello(lane="lane-1", last_verdict_seq=last), "lane_state": lane, "bags": bags}
    elif request.ask == "replay":
        found = [v for v in journal if v.seq > request.after_seq][: min(request.limit, LIMIT)]
        fields |= {"verdicts": tuple(found), "more": bool(found) and found[-1].seq < last}
    return FeedReply.model_validate(fields)


class Gateway:
    """Sockets on loopback; :meth:`cut` takes them away and :meth:`restore` binds the same ports again."""

    def __init__(self, keys: tuple[bytes, bytes] | None = None) -> None:
        self.context = zmq.Context()
        self.keys = keys
        self.journal: list[Verdict] = []
        self.bags: tuple[BagNotice, ...] = ()
        self.lane = LaneState(state="READY", boot_id="boot-1")
        self.asked: list[FeedRequest] = []
        self.feed_address = self.request_address = "tcp://127.0.0.1:*"
        self.restore()

    def restore(self) -> None:
        self.feed = self._bound(zmq.XPUB, self.feed_address)
        self.router = self._bound(zmq.ROUTER, self.request_address)
        self.feed_address = self.feed.getsockopt_string(zmq.LAST_ENDPOINT)
        self.request_address = self.router.getsockopt_string(zmq.LAST_ENDPOINT)

    def _bound(self, kind: int, address: str) -> zmq.Socket[bytes]:
        made: zmq.Socket[bytes] = self.context.socket(kind)
        made.linger = 0
        if self.keys is not None:
            made.curve_server = True
            made.curve_publickey, made.curve_secretkey = self.keys
        made.bind(address)
        return made

    def cut(self) -> None:
        self.feed.close(0)
        self.router.close(0)

    def close(self) -> None:
        self.cut()
        self.context.term()

    def joined(self, topics: int) -> None:
        """Wait until so many subscriptions have arrived."""
        for _ in range(topics):
            assert self.feed.poll(20_000)
            self.feed.recv()

    def publish(self, message: Message) -> None:
        topics = {Verdict: "bag.verdict", LaneState: "lane.state", Hello: "hello"}
        topic = topics.get(type(message)) or (
            "bag.end" if isinstance(message, BagNotice) and message.ended else "bag.start"
        )
        self.feed.send_multipart(wire.encode(topic, message))

    def decide(self, seq: int, *, say: bool = True) -> None:
        """Journal verdict ``seq`` and publish it, or lose it on the way."""
        self.journal.append(verdict(seq))
        if say:
            self.publish(self.journal[-1])

    def serve(self) -> None:
        """Answer what was asked; a heartbeat goes out each time."""
        self.publish(self.lane)
        while self.router.poll(0):
            identity, *frames = self.router.recv_multipart()
            _, request, _ = wire.decode(frames, FeedRequest)
            self.asked.append(request)
            reply = answer(request, self.journal, self.lane, self.bags)
            self.router.send_multipart([identity, *wire.encode("reply", reply)])
