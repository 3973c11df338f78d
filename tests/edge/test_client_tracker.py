"""The rules of the feed client: whatever is lost, repeated or late, verdicts come once, in order, or a gap is named."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.client.items import Gap, Item, Renumbered, Silence
from edge.client.tracker import ANSWER_S, PATIENCE_S, RECONNECT_S, Tracker
from edge.messages import BagNotice, FeedReply, FeedRequest, Hello, LaneState, Verdict
from tests.edge.feed_gateway import answer, verdict

HEARTBEAT = LaneState(state="READY", boot_id="boot-1")


def taken(tracker: Tracker) -> list[Item]:
    items = list(tracker.items)
    tracker.items.clear()
    return items


def seqs(items: list[Item]) -> list[int]:
    return [item.seq for item in items if isinstance(item, Verdict)]


def asked(tracker: Tracker, now: float) -> FeedRequest:
    request = tracker.request(now)
    assert request is not None
    return request


def joined(after: int | None = 0, last: int = 0) -> Tracker:
    """A client that has its snapshot; the lane has ``last`` verdicts."""
    tracker = Tracker(after, True, 0.0)
    tracker.reply(answer(asked(tracker, 0.0), [verdict(n + 1) for n in range(last)], HEARTBEAT, ()), 0.0)
    taken(tracker)
    return tracker


@settings(max_examples=40)
@given(
    lost=st.sets(st.integers(1, 40)),
    repeats=st.lists(st.integers(1, 40), max_size=20),
    late=st.lists(st.booleans(), max_size=40),
    joins=st.integers(0, 40),
)
def test_any_pattern_of_losses_ends_with_the_journal(
    lost: set[int], repeats: list[int], late: list[bool], joins: int
) -> None:
    journal: list[Verdict] = []
    tracker = Tracker(0, True, 0.0)
    got: list[int] = []
    pending: FeedReply | None = None
    for seq in range(1, 41):
        journal.append(verdict(seq))
        if seq <= joins:
            continue  # published before the client subscribed
        if seq not in lost:
            tracker.message(verdict(seq), float(seq))
        for repeated in repeats:
            if repeated <= seq:
                tracker.message(verdict(repeated), float(seq))
        tracker.message(HEARTBEAT, float(seq))
        if pending is not None:
            tracker.reply(pending, float(seq))
            pending = None
        request = tracker.request(float(seq))
        if request is not None:
            reply = answer(request, list(journal), HEARTBEAT, ())
            if late[seq : seq + 1] == [True]:
                pending = reply
            else:
                tracker.reply(reply, float(seq))
        got += seqs(taken(tracker))
    for tick in range(41, 80):
        tracker.message(HEARTBEAT, float(tick))
        tracker.message(Hello(last_verdict_seq=40), float(tick))
        request = tracker.request(float(tick))
        if request is not None:
            tracker.reply(answer(request, journal, HEARTBEAT, ()), float(tick))
        tracker.tick(float(tick))
        items = taken(tracker)
        assert not any(isinstance(item, (Gap, Renumbered, Silence)) for item in items)
        got += seqs(items)
    assert got == list(range(1, 41))


def test_long_journals_come_in_portions_and_only_once() -> None:
    journal = [verdict(n) for n in range(1, 1301)]
    tracker = Tracker(0, True, 0.0)
    got: list[int] = []
    for number in range(5):
        request = asked(tracker, float(number)) if number < 4 else tracker.request(float(number))
        if request is not None:
            tracker.reply(answer(request, journal, HEARTBEAT, ()), float(number))
        got += seqs(taken(tracker))
    assert got == list(range(1, 1301))


def test_without_a_start_it_begins_with_what_comes_after_joining() -> None:
    tracker = Tracker(None, True, 0.0)
    tracker.message(verdict(8), 0.1)
    assert seqs(taken(tracker)) == []
    tracker.reply(answer(asked(tracker, 0.2), [verdict(n) for n in range(1, 9)], HEARTBEAT, ()), 0.3)
    assert seqs(taken(tracker)) == [8]
    tracker.message(verdict(9), 0.4)
    assert seqs(taken(tracker)) == [9]


def test_the_snapshot_names_the_bags_in_the_lane_and_repeats_are_ignored() -> None:
    tracker = Tracker(0, True, 0.0)
    bag = BagNotice(bag_id="B1")
    tracker.message(bag, 0.1)
    tracker.reply(answer(asked(tracker, 0.2), [], HEARTBEAT, (bag, BagNotice(bag_id="B2"))), 0.3)
    tracker.message(BagNotice(bag_id="B1", ended=True), 0.4)
    notices = [(item.bag_id, item.ended) for item in taken(tracker) if isinstance(item, BagNotice)]
    assert notices == [("B1", False), ("B2", False), ("B1", True)]


def test_silence_is_said_once_and_the_sockets_are_made_anew() -> None:
    tracker = joined()
    tracker.message(HEARTBEAT, 1.0)
    tracker.tick(3.9)
    assert not any(isinstance(item, Silence) for item in taken(tracker))
    tracker.tick(4.1)
    tracker.tick(4.2)
    (silence,) = taken(tracker)
    assert isinstance(silence, Silence)
    assert silence.seconds > 3
    reconnects = []
    for now in (4.3, 4.1 + RECONNECT_S, 4.2 + RECONNECT_S):
        reconnects.append(tracker.reconnect)
        tracker.reconnect = False
        tracker.tick(now)
    assert [*reconnects, tracker.reconnect] == [True, False, True, False]
    tracker.message(HEARTBEAT, 10.0)
    assert asked(tracker, 10.0).ask == "snapshot"


def test_a_slower_heartbeat_that_hello_names_is_believed() -> None:
    tracker = joined()
    tracker.message(Hello(heartbeat_s=5.0), 0.0)
    tracker.message(HEARTBEAT, 0.0)
    taken(tracker)
    tracker.tick(14.0)
    assert taken(tracker) == []
    tracker.tick(15.5)
    assert len(taken(tracker)) == 1


def test_an_answer_that_does_not_come_is_asked_for_again_and_given_up_with_a_gap() -> None:
    tracker = joined()
    tracker.message(verdict(3), 0.0)
    names, now = set(), 0.0
    while now < PATIENCE_S:
        tracker.message(HEARTBEAT, now)
        tracker.tick(now)
        request = tracker.request(now)
        if request is not None:
            assert (request.ask, request.after_seq) == ("replay", 0)
            names.add(request.request_id)
        now += ANSWER_S / 2
    assert len(names) > 3
    assert seqs(taken(tracker)) == []
    tracker.message(HEARTBEAT, now)
    tracker.tick(now + 0.1)
    gap, found = (item for item in taken(tracker) if not isinstance(item, LaneState))
    assert gap == Gap(1, 2, "not answered")
    assert isinstance(found, Verdict)


def test_a_refusal_is_the_reason_of_the_gap() -> None:
    tracker = joined()
    tracker.message(verdict(2), 0.0)
    now = 0.0
    while tracker.last == 0:
        now += 1.0
        tracker.message(HEARTBEAT, now)
        request = tracker.request(now)
        if request is not None:
            tracker.reply(FeedReply(request_id=request.request_id, ok=False, reason="too many requests"), now)
        tracker.tick(now)
    assert Gap(1, 1, "too many requests") in taken(tracker)


def test_verdicts_that_the_journal_no_longer_has_are_named() -> None:
    tracker = Tracker(2, True, 0.0)
    journal = [verdict(n) for n in (6, 7, 9)]
    for _ in range(3):
        request = tracker.request(0.0)
        if request is not None:
            tracker.reply(answer(request, journal, HEARTBEAT, ()), 0.0)
    items = [item for item in taken(tracker) if isinstance(item, (Gap, Verdict))]
    why = "the journal no longer has them"
    assert [item if isinstance(item, Gap) else item.seq for item in items] == [Gap(3, 5, why), 6, 7, Gap(8, 8, why), 9]


def test_without_a_request_endpoint_a_gap_is_named_at_once() -> None:
    tracker = Tracker(None, False, 0.0)
    for seq in (4, 5, 8):
        tracker.message(verdict(seq), 0.0)
    tracker.tick(0.1)
    items = taken(tracker)
    assert [getattr(item, "seq", item) for item in items] == [4, 5, Gap(6, 7, "there is no request endpoint"), 8]
    assert tracker.request(1.0) is None


@pytest.mark.parametrize("behind", [False, True])
def test_a_journal_that_begins_anew_is_told_from_a_repeat(behind: bool) -> None:
    """Behind: this client was started with a sequence from before, so only the snapshot can tell."""
    tracker = joined(after=50, last=3) if behind else joined(last=0)
    if not behind:
        for seq in (1, 2, 3):
            tracker.message(verdict(seq), 0.0)
        taken(tracker)
        tracker.message(verdict(2), 0.1)
        assert taken(tracker) == []
    other = verdict(2, bag_id="other", boot_id="boot-2")
    tracker.message(other, 0.2)
    assert taken(tracker) == [Renumbered(51 if behind else 4, 2), other]


def test_what_was_handed_out_before_is_not_repeated_under_a_new_number() -> None:
    """Verdicts published while the disk refused get their place in the journal later."""
    tracker = joined()
    tracker.message(verdict(1), 0.0)
    taken(tracker)
    journal = [verdict(1), verdict(2, bag_id="new"), verdict(3, bag_id="B1", t_ns=verdict(1).t_ns)]
    tracker.message(Hello(last_verdict_seq=3), 0.1)
    tracker.reply(answer(asked(tracker, 0.2), journal, HEARTBEAT, ()), 0.3)
    assert [item.bag_id for item in taken(tracker) if isinstance(item, Verdict)] == ["new"]
    assert tracker.last == 3


def test_a_flood_ahead_of_a_gap_takes_bounded_memory() -> None:
    tracker = joined()
    for seq in range(2, 5000):
        tracker.message(verdict(seq), 0.0)
    assert len(tracker._waiting) <= 1000
    journal = [verdict(n) for n in range(1, 5000)]
    got, now = [], 0.0
    rng = random.Random(1)  # noqa: S311
    while tracker.last != 4999:
        now += rng.random()
        tracker.message(HEARTBEAT, now)
        request = tracker.request(now)
        if request is not None:
            tracker.reply(answer(request, journal, HEARTBEAT, ()), now)
        got += seqs(taken(tracker))
    assert got == list(range(1, 5000))
