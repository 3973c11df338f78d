"""Bags that are being decided and bags that were, and the verdict message about them."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Any

from edge.messages import IATA, Assessment, DeviceEvent, Fault, Verdict
from edge.verdict.actions import BagRecord, Now
from edge.verdict.policy import Judgement, Limits

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")
_LONGEST_ID = 128


@dataclass
class Bag:
    """One bag; open until :attr:`final` is set, and then remembered for late results."""

    record: BagRecord
    due_mono: int
    exit_encoder: int | None = None
    exit_ns: int = 0
    #: Entered before this process started: a missed deadline is then our own interruption.
    before_restart: bool = False
    #: A clean assessment that waits for the trailing edge.
    held: Assessment | None = None
    final: Judgement | None = None
    #: What a service said when it lost the bag; set while another try is under way (:mod:`edge.verdict.recall`).
    lost: Judgement | None = None
    #: To be asked for again once it has left the beam; how often that was done; since when nothing has come of it.
    wanted: bool = False
    recalls: int = 0
    quiet_mono: int | None = None
    assessed: set[tuple[str, str, int]] = field(default_factory=set)

    @property
    def length_counts(self) -> int | None:
        """From leading to trailing edge; None while the trailing edge is unseen."""
        return None if self.exit_encoder is None else self.exit_encoder - self.record.encoder

    def repeats(self, found: Assessment) -> bool:
        """Whether this very message was seen before; remembers it."""
        key = (found.source, found.boot_id, found.seq)
        if found.seq and key in self.assessed:
            return True
        self.assessed.add(key)
        return False


def is_older(event: DeviceEvent, record: BagRecord) -> bool:
    """Whether the event certainly happened before this bag entered: by its number and by its clock.

    One alone is not enough: the clock may have been set back since, and the numbers of a bridge that lost its state
    may begin lower.
    """
    by_number = not event.event_seq or not record.event_seq or event.event_seq < record.event_seq
    return by_number and 0 < event.event_t_ns < record.entered_ns


def safe_id(text: str) -> str:
    """``text`` with the characters that a bag id may not hold replaced; never empty."""
    return _UNSAFE.sub("_", text)[:_LONGEST_ID] or "unnamed"


def derived_id(bag_id: str, encoder: int) -> str:
    """Id of another bag that came under the id of ``bag_id``."""
    suffix = f".e{encoder}"
    return safe_id(bag_id)[: _LONGEST_ID - len(suffix)] + suffix


def new_bag(bag_id: str, event: DeviceEvent, entered_ns: int, limits: Limits, now: Now) -> Bag:
    """The bag that ``event`` reports; its deadline counts from its entry, not from when we hear of it."""
    deadline_ns = entered_ns + limits.deadline_ns
    record = BagRecord(
        bag_id=bag_id,
        bag_tag=event.bag_tag,
        event_seq=event.event_seq,
        encoder=event.encoder,
        entered_ns=entered_ns,
        deadline_ns=deadline_ns,
        deadline_encoder=event.encoder + limits.diverter_counts,
    )
    return Bag(record, due_mono=now.mono + max(0, deadline_ns - now.wall))


def verdict_on(bag: Bag, judgement: Judgement, found: Assessment | None, now: Now) -> Verdict:
    """The verdict message; final while the bag has none. Sequence and header are set when it is journaled."""
    record = bag.record
    fields: dict[str, object] = {}
    if found is not None:
        fields = _from_assessment(found, now)
    fields |= {
        "bag_id": record.bag_id,
        "bag_tag": record.bag_tag,
        "encoder": record.encoder,
        "decision": judgement.decision,
        "iata": IATA[judgement.decision],
        "reason": judgement.reason,
        "detail": judgement.detail,
        "threshold": judgement.threshold,
        "final": bag.final is None,
        "encoder_window": (record.encoder, record.encoder if bag.exit_encoder is None else bag.exit_encoder),
        "deadline_ns": record.deadline_ns,
        "deadline_encoder": record.deadline_encoder,
    }
    return Verdict.model_validate(fields)


def _from_assessment(found: Assessment, now: Now) -> dict[str, object]:
    same_name = set(Verdict.model_fields) & set(Assessment.model_fields)
    header = {"schema_id", "seq", "boot_id", "t_ns", "clock_state", "source"}
    fields: dict[str, object] = _finite(found.model_dump(include=same_name - header))
    if not math.isfinite(found.score) or not 0 <= found.score <= 1:
        fields["score"] = 0.0
        fields["objects"] = ()
    fields["scan_start_t_ns"] = found.first_frame_t_ns
    fields["scan_stop_t_ns"] = found.last_frame_t_ns
    if 0 < found.last_frame_t_ns <= now.wall:
        fields["latency_ms"] = (now.wall - found.last_frame_t_ns) / 1e6
    return fields


def _finite(value: Any, *, optional: bool = False) -> Any:
    """``value`` without numbers that JSON, and so the journal, cannot hold; features are left out then."""
    if isinstance(value, float):
        return value if math.isfinite(value) else 0.0
    if isinstance(value, dict):
        kept = {k: v for k, v in value.items() if not (optional and isinstance(v, float) and not math.isfinite(v))}
        return {key: _finite(item, optional=key == "features") for key, item in kept.items()}
    return tuple(map(_finite, value)) if isinstance(value, tuple) else value


def is_news(earlier: Judgement, later: Judgement) -> bool:
    """Whether a late result says anything that the final verdict did not."""
    return (later.decision, later.reason) != (earlier.decision, earlier.reason)


def overdue(bag: Bag) -> tuple[Fault, str]:
    """Reason and words for a bag whose deadline has passed."""
    if bag.held is not None:
        return Fault.IDENTITY_DOUBT, "assessed, but its trailing edge was never seen"
    if bag.lost is not None:
        return Fault.SERVICE_RESTART, f"{bag.lost.detail}; asked for again {bag.recalls} time(s), nothing came in time"
    if bag.before_restart:
        return Fault.SERVICE_RESTART, "the verdict service was restarted while this bag was in the lane"
    return Fault.TIMEOUT, "no assessment before the deadline"
