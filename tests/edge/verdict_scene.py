"""Bags, events and assessments for the tests of the verdict service; time is a number here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from edge.config import Config
from edge.messages import Assessment, DetectedObject, DeviceEvent, DeviceEventKind, Verdict
from edge.verdict.actions import Action, BagEntered, BagLeft, Decided, Now
from edge.verdict.bags import Bag
from edge.verdict.engine import BagLedger
from edge.verdict.policy import Judgement, Limits

S = 1_000_000_000
WALL0 = 1_800_000_000 * S
CONFIG = Config.model_validate({"verdict": {"deadline_s": 10.0, "diverter_mm": 500.0}})
LIMITS = Limits.of(CONFIG)
#: Encoder counts are µm here.
MM = 1000
THREAT = DetectedObject(
    box=(0, 0, 9, 9), polygon=((0, 0), (0, 9), (9, 9)), area_mm2=80.0, probability=0.9, category="explosive"
)


def at(seconds: float) -> Now:
    """Both clocks at so many seconds of the test; the monotonic one has another origin."""
    return Now(WALL0 + round(seconds * S), 5 * S + round(seconds * S))


def entry(bag: str, encoder: int, seconds: float, seq: int = 1, **more: Any) -> DeviceEvent:
    return _event(DeviceEventKind.BAG_ENTRY, encoder, seconds, seq, bag_id=bag, bag_tag=bag.lower(), **more)


def leave(bag: str, encoder: int, seconds: float, seq: int = 2, **more: Any) -> DeviceEvent:
    return _event(DeviceEventKind.BAG_EXIT, encoder, seconds, seq, bag_id=bag, **more)


def report(encoder: int, seconds: float) -> DeviceEvent:
    return _event(DeviceEventKind.ENCODER, encoder, seconds, 0)


def interlock(closed: bool, seconds: float, seq: int = 9) -> DeviceEvent:
    return _event(DeviceEventKind.INTERLOCK, 0, seconds, seq, interlock_closed=closed)


def _event(kind: DeviceEventKind, encoder: int, seconds: float, seq: int, **more: Any) -> DeviceEvent:
    return DeviceEvent(kind=kind, encoder=encoder, event_t_ns=at(seconds).wall, event_seq=seq, **more)


def assessment(bag: str, **changes: Any) -> Assessment:
    """A clean assessment of a bag up to 96 mm long; ``changes`` may hold values that no message could carry."""
    clean: dict[str, Any] = {
        "bag_id": bag,
        "score": 0.1,
        "threshold": 0.5,
        "calibration_id": "cal-0123456789abcdef",
        "calibration_created_ns": WALL0 - 3600 * S,
        "frames": 900,
        "columns": 320,
        "rows": CONFIG.scanner.rows,
        "model_id": "test-model",
        "source": "inference",
        "last_frame_t_ns": WALL0,
    }
    valid = Assessment.model_validate(clean)
    return valid.model_copy(update=changes)


@dataclass
class Memory:
    """Stands for journal and feed: carries out actions, keeps what a restart would find."""

    entered: dict[str, Bag] = field(default_factory=dict)
    finals: dict[str, Verdict] = field(default_factory=dict)
    supplements: list[Verdict] = field(default_factory=list)
    cleared: list[tuple[str, int, int]] = field(default_factory=list)

    def do(self, actions: list[Action]) -> list[Verdict]:
        """Carry out; asserts that nothing is decided before it entered, or twice."""
        said = []
        for action in actions:
            if isinstance(action, BagEntered):
                assert action.record.bag_id not in self.entered
                self.entered[action.record.bag_id] = Bag(action.record, due_mono=0)
            elif isinstance(action, BagLeft):
                self.entered[action.bag_id].exit_encoder = action.encoder
            elif isinstance(action, Decided):
                said.append(action.verdict)
                self._decided(action)
        return said

    def _decided(self, action: Decided) -> None:
        verdict = action.verdict
        assert verdict.bag_id in self.entered
        if not verdict.final:
            assert verdict.bag_id in self.finals
            assert action.clear is None
            self.supplements.append(verdict)
            return
        assert verdict.bag_id not in self.finals, "a second final verdict"
        self.finals[verdict.bag_id] = verdict
        if action.clear is not None:
            self.cleared.append((action.clear.bag_id, action.clear.encoder_from, action.clear.encoder_to))

    def find(self, bag_id: str) -> Bag | None:
        """What the journal would find: decided bags only."""
        if bag_id not in self.finals:
            return None
        verdict, bag = self.finals[bag_id], self.entered[bag_id]
        bag.final = Judgement(verdict.decision, verdict.reason, verdict.detail, verdict.threshold)
        return bag

    def ledger(self, seconds: float = 0.0) -> BagLedger:
        """A ledger that has just started, with the open bags restored."""
        ledger = BagLedger(LIMITS, self, at(seconds))
        opened = [
            Bag(bag.record, due_mono=0, exit_encoder=bag.exit_encoder)
            for bag_id, bag in self.entered.items()
            if bag_id not in self.finals
        ]
        self.do(ledger.restore(opened, at(seconds)))
        return ledger
