"""The rules of a feed client without sockets or clock: messages and replies in, items and requests out.

Verdicts come out exactly once and in the order of the journal. A verdict that is ahead waits while the ones before it
are asked for; when they cannot be had, a :class:`~edge.client.items.Gap` says so and the others go on.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass

from edge.client.items import Gap, Item, Renumbered, Silence
from edge.messages import BagNotice, FeedReply, FeedRequest, Hello, LaneState, Message, Verdict

#: So many heartbeats missing mean silence.
MISSED_HEARTBEATS = 3
#: Sockets are made anew this often while the lane is silent, s.
RECONNECT_S = 5.0
#: A request without an answer is sent again after this, s; after a refusal, it waits as long.
ANSWER_S = 2.0
#: And one that could not be sent, or brought nothing new, s.
AGAIN_S = 0.5
#: Missing verdicts are asked for this long before the client goes on without them, s.
PATIENCE_S = 15.0
#: Verdicts ahead of a gap that are kept; later ones are asked for again.
MAX_WAITING = 1000
#: Messages remembered, to know repeats.
REMEMBERED = 10_000

_Identity = tuple[str, bool, str, int]


def _identity(verdict: Verdict) -> _Identity:
    """The same for every copy of one verdict, also after the service was restarted."""
    return verdict.bag_id, verdict.final, verdict.boot_id, verdict.t_ns


@dataclass
class _Asked:
    request: FeedRequest
    until: float
    #: Newest verdict delivered when it was sent.
    last: int


class Tracker:
    """State of one client; ``now`` is a monotonic time in seconds."""

    def __init__(self, after: int | None, can_ask: bool, now: float) -> None:
        """Begin after verdict ``after`` (None: with the next one)."""
        self.items: deque[Item] = deque()
        #: Sequence of the newest verdict that was delivered, or passed over with a Gap; None before the first.
        self.last = after
        #: Set when the sockets should be made anew; whoever does it takes it back.
        self.reconnect = False
        self.refusal = ""
        self._can_ask = can_ask
        self._floor = after or 0
        self._target = 0
        self._waiting: dict[int, Verdict] = {}
        self._seen: OrderedDict[_Identity, int] = OrderedDict()
        self._notices: OrderedDict[tuple[str, bool], None] = OrderedDict()
        self._heartbeat_s = 1.0
        self._heard = now
        self._silent = False
        self._next_reconnect = 0.0
        self._boot_id = ""
        self._behind = False
        self._want_snapshot = can_ask
        self._asked: _Asked | None = None
        self._not_before, self._number = now, 0
        self._stuck_since: float | None = None

    # ---- what comes in ----------------------------------------------------------------------------------

    def message(self, message: Message, now: float) -> None:
        """Take one message of the feed."""
        if isinstance(message, Verdict):
            self._verdict(message, now)
        elif isinstance(message, BagNotice):
            self._notice(message)
        elif isinstance(message, (Hello, LaneState)):
            self._news_of_the_lane(message, now)
            self.items.append(message)

    def reply(self, reply: FeedReply, now: float) -> None:
        """Take the answer to a request; one that nobody waits for is ignored."""
        asked = self._asked
        if asked is None or reply.request_id != asked.request.request_id:
            return
        self._asked = None
        if not reply.ok:
            self.refusal = reply.reason
            self._not_before = now + ANSWER_S
            return
        self.refusal = ""
        if asked.request.ask == "snapshot":
            self._snapshot(reply, asked, now)
        else:
            self._replay(reply, now)

    def tick(self, now: float) -> None:
        """Let time pass."""
        if self._silent and now >= self._next_reconnect:
            self.reconnect, self._next_reconnect = True, now + RECONNECT_S
        if not self._silent and now - self._heard > MISSED_HEARTBEATS * self._heartbeat_s:
            self._silent = self.reconnect = True
            self._next_reconnect = now + RECONNECT_S
            self.items.append(Silence(now - self._heard))
        if self._asked is not None and now >= self._asked.until:
            self._asked = None
        if not self._missing():
            self._stuck_since = None
        elif self._stuck_since is None:
            self._stuck_since = now
        elif not self._can_ask or (now - self._stuck_since > PATIENCE_S and not self._silent):
            self._give_up()

    # ---- what goes out ----------------------------------------------------------------------------------

    def request(self, now: float) -> FeedRequest | None:
        """What to ask for now, if anything; call :meth:`unsent` when it could not be sent."""
        if not self._can_ask or self._asked is not None or now < self._not_before:
            return None
        self._number += 1
        if self.last is not None and self._missing():
            made = FeedRequest(request_id=str(self._number), ask="replay", after_seq=self.last)
        elif self._want_snapshot:
            made = FeedRequest(request_id=str(self._number), ask="snapshot")
        else:
            return None
        self._asked = _Asked(made, now + ANSWER_S, self.last or 0)
        return made

    def unsent(self, now: float) -> None:
        """The request found nobody to go to."""
        self._asked, self._not_before = None, now + AGAIN_S

    def wait_s(self, now: float) -> float:
        """Seconds after which :meth:`tick` and :meth:`request` should be called even if nothing comes."""
        due = [self._heard + MISSED_HEARTBEATS * self._heartbeat_s if not self._silent else self._next_reconnect]
        if self._can_ask and (self._want_snapshot or self._missing()):
            due.append(self._asked.until if self._asked is not None else self._not_before)
        return min(max(min(due) - now, 0.01), 1.0)

    # ---- verdicts ---------------------------------------------------------------------------------------

    def _missing(self) -> bool:
        return bool(self._waiting) or self._target > (self.last or 0)

    def _verdict(self, verdict: Verdict, now: float) -> None:
        if _identity(verdict) in self._seen:
            return
        if self.last is not None and verdict.seq <= self.last:
            if verdict.seq <= self._floor and not self._behind:
                return  # from before our memory: a repeat
            self.items.append(Renumbered(self.last + 1, verdict.seq))
            self._floor = self.last = verdict.seq - 1
            self._target, self._behind, self._waiting = 0, False, {}
        self._target = max(self._target, verdict.seq)
        if len(self._waiting) < MAX_WAITING:
            self._waiting[verdict.seq] = verdict
        if self.last is None and not self._can_ask:
            self.last = verdict.seq - 1
        self._drain()
        self.tick(now)

    def _drain(self) -> None:
        """Deliver what follows without a gap."""
        while self.last is not None and self.last + 1 in self._waiting:
            self._deliver(self._waiting.pop(self.last + 1))

    def _deliver(self, verdict: Verdict) -> None:
        self.last, self._stuck_since, name = verdict.seq, None, _identity(verdict)
        if name in self._seen:
            return
        self._seen[name] = verdict.seq
        if len(self._seen) > REMEMBERED:
            self._floor = max(self._floor, self._seen.popitem(last=False)[1])
        self.items.append(verdict)

    def _pass_over(self, last: int, reason: str) -> None:
        assert self.last is not None
        self.items.append(Gap(self.last + 1, last, reason))
        self.last, self._stuck_since = last, None

    def _give_up(self) -> None:
        first = min(self._waiting, default=self._target + 1)
        if self.last is None:
            self.last, self._want_snapshot = first - 1, False
        elif first - 1 > self.last:
            why = "not answered" if self._can_ask else "there is no request endpoint"
            self._pass_over(first - 1, self.refusal or why)
        self._drain()

    # ---- replies ----------------------------------------------------------------------------------------

    def _snapshot(self, reply: FeedReply, asked: _Asked, now: float) -> None:
        self._want_snapshot = False
        self._behind = reply.last_seq < asked.last
        for message in (reply.hello, reply.lane_state):
            if message is not None:
                self._news_of_the_lane(message, now, live=False)
                self.items.append(message)
        for notice in reply.bags:
            self._notice(notice)
        if self.last is None:
            # Verdicts that came since the subscription are not older than the client.
            self._floor = self.last = min([reply.last_seq, *(seq - 1 for seq in self._waiting)])
        self._target = max(self._target, reply.last_seq)
        self._drain()

    def _replay(self, reply: FeedReply, now: float) -> None:
        before = self.last
        for verdict in reply.verdicts:
            assert self.last is not None
            if verdict.seq <= self.last:
                continue
            self._waiting.setdefault(verdict.seq, verdict)
            self._drain()
            while verdict.seq > self.last:
                self._pass_over(min(self._waiting) - 1, "the journal no longer has them")
                self._drain()
        self._waiting = {seq: verdict for seq, verdict in self._waiting.items() if seq > (self.last or 0)}
        if self.last == before:
            self._not_before = now + AGAIN_S

    # ---- lane and bags ----------------------------------------------------------------------------------

    def _news_of_the_lane(self, message: Hello | LaneState, now: float, live: bool = True) -> None:
        if isinstance(message, Hello):
            self._heartbeat_s = message.heartbeat_s
            if self.last is None and not self._can_ask and live:
                self.last = self._floor = message.last_verdict_seq
            elif self.last is not None:
                self._target = max(self._target, message.last_verdict_seq)
        elif live:
            restarted = self._boot_id not in ("", message.boot_id)
            self._want_snapshot |= self._can_ask and (self._silent or restarted)
            self._stuck_since = None if self._silent else self._stuck_since
            self._boot_id, self._heard, self._silent = message.boot_id, now, False

    def _notice(self, notice: BagNotice) -> None:
        key = (notice.bag_id, notice.ended)
        if key not in self._notices:
            self._notices[key] = None
            if len(self._notices) > REMEMBERED:
                self._notices.popitem(last=False)
            self.items.append(notice)
