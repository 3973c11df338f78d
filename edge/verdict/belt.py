"""What the belt and its devices are doing, as far as their events tell."""

from __future__ import annotations

from edge.messages import DeviceEvent, DeviceEventKind, Fault

#: Without one of these no bag can be scanned; motion controllers may come and go while nothing moves.
NEEDED = {"belt": "belt controller", "tube": "x-ray generator", "detector": "detector"}
#: A belt that is on and whose encoder does not turn for so long: it is blocked, or the encoder is.
STALL_US = 500_000
#: A longer time between two reports counts as this.
MAX_REPORT_US = 300_000
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
        self._reported_us: int | None = None
        self._stood_us = 0

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

    def report(self, event: DeviceEvent, slip_counts: int) -> str:
        """Take an encoder report; these come in order. Returns why the counts have lost their meaning, if they have."""
        before, self._reported = self._reported, event.encoder
        if before is not None and event.encoder < before - slip_counts:
            self.encoder = event.encoder
            self.inside = ""
            return f"the belt encoder went back from {before} to {event.encoder}"
        self.advance(event)
        if self._stands(event, before):
            return f"the belt is on, but its encoder stands at {event.encoder}"
        return ""

    def _stands(self, event: DeviceEvent, before: int | None) -> bool:
        """Whether the belt has been on for STALL_US without a count, by the clock of its controller."""
        now_us, last_us = event.device_t_us, self._reported_us
        self._reported_us = now_us
        if not event.belt_moving or event.encoder != before or now_us is None or last_us is None:
            self._stood_us = 0
            return False
        # Between reports that are far apart the belt may have been off.
        self._stood_us += min(max(0, now_us - last_us), MAX_REPORT_US)
        return self._stood_us > STALL_US

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
