"""What the belt and its devices are doing, as far as their events tell."""

from __future__ import annotations

from edge.messages import DeviceEvent, DeviceEventKind, Fault

#: Without one of these no bag can be scanned; motion controllers may come and go while nothing moves.
NEEDED = {"belt": "belt controller", "tube": "x-ray generator", "detector": "detector"}
#: What ends the bags in the scanner: the reason and its words.
Trouble = tuple[Fault, str]


class BeltState:
    """Encoder, the bag between the barrier's edges, the interlock, and what is wrong with the devices."""

    def __init__(self) -> None:
        #: Newest known encoder reading, from any event.
        self.encoder: int | None = None
        #: Bag whose leading edge has passed the entry barrier and whose trailing edge has not.
        self.inside = ""
        self.interlock_open = False
        self.estop = False
        #: Connections that are away, with the reason.
        self.lost: dict[str, str] = {}
        #: Devices that report a fault, with its words.
        self.faults: dict[str, str] = {}
        #: Why the beam is off; empty while it is on, or nobody said anything about it.
        self.beam_off = ""
        self._reported: int | None = None

    @property
    def unfit(self) -> str:
        """Why a bag that enters now cannot be scanned; empty when it can, as far as is known."""
        for device, name in NEEDED.items():
            if device in self.faults:
                return f"cannot be scanned: the {name} reports {self.faults[device]}"
            if device in self.lost and device != "belt":
                return f"cannot be scanned: the {name} is away"
        return f"cannot be scanned: {self.beam_off}" if self.beam_off else ""

    def advance(self, event: DeviceEvent) -> None:
        """Take the encoder reading of a bag event; it may be older than the newest report."""
        self.encoder = max(event.encoder, event.encoder if self.encoder is None else self.encoder)

    def has_passed(self, exit_encoder: int | None, tail_counts: int) -> bool:
        """Whether a bag whose trailing edge was seen at ``exit_encoder`` (None: not yet) has left the beam."""
        return exit_encoder is not None and self.encoder is not None and self.encoder >= exit_encoder + tail_counts

    def report(self, event: DeviceEvent, slip_counts: int) -> int | None:
        """Take an encoder report; these come in order. Returns the one before if the counter went back too far."""
        before, self._reported = self._reported, event.encoder
        if before is not None and event.encoder < before - slip_counts:
            self.encoder = event.encoder
            self.inside = ""
            return before
        self.advance(event)
        return None

    def device(self, event: DeviceEvent) -> Trouble | None:
        """Take an interlock or device event; what it does to the bags in the scanner, if anything."""
        if event.kind is DeviceEventKind.INTERLOCK and event.interlock_closed is not None:
            was_open, self.interlock_open = self.interlock_open, not event.interlock_closed
            if self.interlock_open and not was_open:
                return Fault.USER_INTERRUPT, "the interlock was opened"
        elif event.kind is DeviceEventKind.ESTOP and event.estop_pressed is not None:
            was_pressed, self.estop = self.estop, event.estop_pressed
            if self.estop and not was_pressed:
                return Fault.USER_INTERRUPT, "the emergency stop was pressed"
        elif event.kind is DeviceEventKind.DEVICE_FOUND:
            self.lost.pop(event.device, None)
        elif event.kind is DeviceEventKind.DEVICE_LOST:
            self.lost[event.device] = event.detail
            if event.device in NEEDED:
                return Fault.DETECTOR_FAULT, f"the {NEEDED[event.device]} was lost"
        elif event.kind is DeviceEventKind.DEVICE_STATE and event.device in NEEDED:
            return self._state(event)
        return None

    def _state(self, event: DeviceEvent) -> Trouble | None:
        faulty, name = event.state == "fault", NEEDED[event.device]
        new = faulty and event.device not in self.faults
        self.faults.pop(event.device, None)
        if faulty:
            self.faults[event.device] = event.detail or "a fault"
        was_off = bool(self.beam_off)
        if event.beam_on is not None:
            self.beam_off = "" if event.beam_on else event.detail or self.beam_off or "the beam is off"
        if self.beam_off and not was_off and event.interlock_closed is False:
            return Fault.USER_INTERRUPT, "the interlock of the x-ray generator was opened"
        if new:
            return Fault.DETECTOR_FAULT, f"the {name} reported {self.faults[event.device]}"
        if self.beam_off and not was_off:
            return Fault.DETECTOR_FAULT, "the beam went off"
        return None
