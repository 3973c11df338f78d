"""The bag ledger: events, assessments and clock ticks in; actions out. No sockets, no files, no clock of its own."""

from __future__ import annotations

from edge.messages import Assessment, Decision, DeviceEvent, DeviceEventKind, Fault
from edge.verdict.actions import Action, BagEntered, BagLeft, ClearLine, Decided, Now
from edge.verdict.bags import Bag, derived_id, is_news, is_older, new_bag, overdue, safe_id, verdict_on
from edge.verdict.belt import BeltState, Trouble
from edge.verdict.memory import BagMemory, History, same_entry
from edge.verdict.orphans import Orphans
from edge.verdict.policy import Judgement, Limits, judge, unknown
from edge.verdict.recall import Recalls


class BagLedger:
    """Gives every bag that entered exactly one final verdict, by its deadline at the latest."""

    def __init__(self, limits: Limits, history: History, started: Now) -> None:
        self.limits = limits
        self.belt = BeltState()
        self._recalls = Recalls(limits, self.belt)
        self._bags = BagMemory(history)
        self._started = started
        self._orphans = Orphans()

    @property
    def open(self) -> dict[str, Bag]:
        """Bags in the lane that have no final verdict yet."""
        return self._bags.open

    # ---- inputs -------------------------------------------------------------------------------------------

    def restore(self, bags: list[Bag], now: Now) -> list[Action]:
        """Take up the bags that were open when the service died."""
        for bag in bags:
            if self._bags.find(bag.record.bag_id) is not None:
                continue
            bag.before_restart = bag.wanted = True
            bag.due_mono = now.mono + min(max(0, bag.record.deadline_ns - now.wall), self.limits.deadline_ns)
            self.open[bag.record.bag_id] = bag
        out = self.tick(now)
        for bag in self.open.values():
            if bag.exit_encoder is None:
                self.belt.inside = bag.record.bag_id
        return out

    def event(self, event: DeviceEvent, now: Now) -> list[Action]:
        """Take the next device event; repeats are harmless."""
        out: list[Action] = []
        if event.kind is DeviceEventKind.BAG_ENTRY:
            self.belt.advance(event)
            out += self._enter(event, now)
        elif event.kind is DeviceEventKind.BAG_EXIT:
            self.belt.advance(event)
            out += self._leave(event, now)
        elif event.kind is DeviceEventKind.ENCODER:
            slipped = self.belt.report(event, self.limits.slip_counts)
            for bag in list(self.open.values()) if slipped else ():
                out += self._doubt(bag, slipped, now)
        else:
            trouble = self.belt.device(event)
            if trouble is not None:
                out += self._interrupted(event, trouble, now)
            if event.kind is DeviceEventKind.DEVICE_FOUND and event.device == "belt":
                out += self._controller_found(event, now)
        return out + self.tick(now)

    def assessment(self, found: Assessment, now: Now) -> list[Action]:
        """Take what inference found; decides the bag, supplements it, or waits for the bag's events."""
        out = self.tick(now)
        bag = self._bags.find(found.bag_id)
        self._recalls.heard(found, bag, self.open.values(), now)
        if bag is None:
            for stranger in self._orphans.add(found, now):
                out += self._stranger(stranger, now)
            return out
        return out + self._apply(bag, found, now)

    def broken_assessment(self, bag_id: str, why: str, now: Now) -> list[Action]:
        """An assessment that cannot be read: its bag, if it is open, cannot be cleared."""
        bag = self._bags.find(bag_id)
        if bag is None or bag.final is not None:
            return []
        return self._decide(bag, unknown(Fault.FAILED_RECON, f"unreadable assessment: {why}"), None, now)

    def tick(self, now: Now) -> list[Action]:
        """End what is overdue. Needs no other service."""
        out: list[Action] = []
        for bag in list(self.open.values()):
            at_diverter = self.belt.encoder is not None and self.belt.encoder >= bag.record.deadline_encoder
            if now.mono >= bag.due_mono or at_diverter:
                reason, detail = overdue(bag)
                out += self._decide(bag, unknown(reason, detail), bag.held, now)
        for stranger in self._orphans.due(now):
            out += self._stranger(stranger, now)
        return [*out, *self._recalls.due(self.open.values(), now)]

    # ---- events -------------------------------------------------------------------------------------------

    def _enter(self, event: DeviceEvent, now: Now) -> list[Action]:
        out: list[Action] = []
        bag_id = safe_id(event.bag_id)
        known = self._bags.find(bag_id)
        if known is not None and same_entry(known.record, event):
            return out
        doubt = "" if bag_id == event.bag_id else f"bag id {event.bag_id!r:.60} is not one"
        other = self._bags.entered_with(event)
        if other is not None:
            self._bags.rename(bag_id, other)
            return self._doubt(other, f"the bridge calls it {bag_id} as well", now)
        if known is not None:
            doubt = f"entered under the id of {bag_id}, which was given before"
            out += self._doubt(known, "another bag entered under the same id", now)
            bag_id = derived_id(bag_id, event.encoder)
            if self._bags.find(bag_id) is not None:
                return out
        inside = self._bags.find(self.belt.inside) if self.belt.inside else None
        if inside is not None:
            doubt = doubt or f"entered before {inside.record.bag_id} had left the barrier"
            out += self._doubt(inside, f"{bag_id} entered before it had left the barrier", now)
        entered = min(event.event_t_ns or event.t_ns or now.wall, now.wall)
        bag = self._open(bag_id, event, entered, now)
        self.belt.inside = bag_id
        out.append(BagEntered(bag.record))
        if doubt:
            return out + self._doubt(bag, doubt, now)
        if self.belt.unfit:
            return out + self._decide(bag, unknown(Fault.DETECTOR_FAULT, self.belt.unfit), None, now)
        waiting = self._orphans.pop(bag_id)
        if waiting is not None:
            out += self._apply(bag, waiting, now)
        return out

    def _open(self, bag_id: str, event: DeviceEvent, entered_ns: int, now: Now) -> Bag:
        bag = new_bag(bag_id, event, entered_ns, self.limits, now)
        bag.before_restart = entered_ns < self._started.wall
        self.open[bag_id] = bag
        return bag

    def _leave(self, event: DeviceEvent, now: Now) -> list[Action]:
        bag = self._bags.find(safe_id(event.bag_id)) if event.bag_id else None
        if bag is None:
            return self._left_unentered(event, now)
        if bag.exit_encoder is not None:
            same = bag.exit_encoder == event.encoder
            return [] if same else self._doubt(bag, "its trailing edge was reported twice", now)
        if self.belt.inside == bag.record.bag_id:
            self.belt.inside = ""
        if event.encoder < bag.record.encoder:
            return self._doubt(bag, f"left at {event.encoder}, before it entered at {bag.record.encoder}", now)
        bag.exit_encoder = event.encoder
        bag.exit_ns = event.event_t_ns
        out: list[Action] = [BagLeft(bag.record.bag_id, event.encoder, event.event_t_ns)]
        if bag.final is not None:
            return out
        length = event.encoder - bag.record.encoder
        if length > self.limits.max_bag_counts:
            detail = f"longer than {length * self.limits.encoder_um / 1e3:.0f} mm"
            return out + self._decide(bag, unknown(Fault.OVERSIZE_BAG, detail), None, now)
        if bag.held is not None:
            found, bag.held = bag.held, None
            out += self._judge(bag, found, now)
        return out

    def _left_unentered(self, event: DeviceEvent, now: Now) -> list[Action]:
        out: list[Action] = []
        inside = self._bags.find(self.belt.inside) if self.belt.inside else None
        if inside is not None:
            out += self._doubt(inside, f"{event.bag_id or 'an unnamed bag'} left the barrier in its place", now)
        self.belt.inside = ""
        bag_id = safe_id(event.bag_id) if event.bag_id else derived_id("unnamed", event.encoder)
        if self._bags.find(bag_id) is not None:
            return out
        unseen = event.model_copy(update={"event_seq": 0})
        bag = self._open(bag_id, unseen, min(event.event_t_ns or now.wall, now.wall), now)
        bag.exit_encoder = event.encoder
        out += [BagEntered(bag.record), BagLeft(bag_id, event.encoder, event.event_t_ns)]
        return out + self._doubt(bag, "left the barrier, but was never seen to enter", now)

    def _interrupted(self, event: DeviceEvent, trouble: Trouble, now: Now) -> list[Action]:
        out: list[Action] = []
        reason, what = trouble
        for bag in list(self.open.values()):
            # What is reported late, after our own restart, may be older than the bag.
            if not is_older(event, bag.record) and not self.belt.has_passed(
                bag.exit_encoder, self.limits.scan_tail_counts
            ):
                out += self._decide(bag, unknown(reason, f"{what} while the bag was being scanned"), None, now)
        return out

    def _controller_found(self, event: DeviceEvent, now: Now) -> list[Action]:
        """A controller that counts from the start again: bags from before have lost their place on the belt."""
        out: list[Action] = []
        self.belt.encoder = event.encoder
        for bag in list(self.open.values()):
            if event.encoder < bag.record.encoder and not is_older(event, bag.record):
                if self.belt.inside == bag.record.bag_id:
                    self.belt.inside = ""
                out += self._doubt(bag, f"the belt controller was restarted: {event.detail}", now)
        return out

    # ---- decisions ----------------------------------------------------------------------------------------

    def _apply(self, bag: Bag, found: Assessment, now: Now) -> list[Action]:
        if bag.repeats(found):
            return []
        if bag.final is None:
            return self._judge(bag, found, now)
        later = judge(found, self.limits, bag.length_counts, now.wall)
        if not is_news(bag.final, later):
            return []
        return [Decided(verdict_on(bag, later, found, now))]

    def _judge(self, bag: Bag, found: Assessment, now: Now) -> list[Action]:
        judgement = judge(found, self.limits, bag.length_counts, now.wall)
        if self._recalls.saves(bag, judgement, now):
            return []
        if judgement.decision is Decision.CLEAR:
            if self.belt.interlock_open:
                judgement = unknown(Fault.USER_INTERRUPT, "the interlock is open", judgement.threshold)
            elif bag.exit_encoder is None:
                bag.held = found
                return []
        return self._decide(bag, judgement, found, now)

    def _decide(self, bag: Bag, judgement: Judgement, found: Assessment | None, now: Now) -> list[Action]:
        if bag.final is not None:
            return []
        verdict = verdict_on(bag, judgement, found, now)
        clear = None
        if judgement.decision is Decision.CLEAR and bag.exit_encoder is not None:
            last = bag.exit_encoder + self.limits.diverter_counts
            clear = ClearLine(bag.record.bag_id, bag.record.deadline_encoder, last)
        bag.final = judgement
        bag.held = None
        self._bags.decided(bag)
        return [Decided(verdict, clear)]

    def _doubt(self, bag: Bag, detail: str, now: Now) -> list[Action]:
        return self._decide(bag, unknown(Fault.IDENTITY_DOUBT, detail), None, now)

    def _stranger(self, found: Assessment, now: Now) -> list[Action]:
        """A bag that was scanned, although nobody saw it enter, in all the time its assessment waited."""
        known = self._bags.find(found.bag_id)
        if known is not None:
            return self._apply(known, found, now)
        event = DeviceEvent(kind=DeviceEventKind.BAG_ENTRY, bag_id=found.bag_id, encoder=found.encoder)
        bag = self._open(found.bag_id, event, min(found.first_frame_t_ns or now.wall, now.wall), now)
        bag.repeats(found)
        judgement = unknown(Fault.IDENTITY_DOUBT, "it was scanned, but never seen to enter")
        return [BagEntered(bag.record), *self._decide(bag, judgement, found, now)]
