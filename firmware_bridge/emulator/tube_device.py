"""The x-ray generator as its firmware sees the world: bytes in, bytes out, time given from outside."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Final

from firmware_bridge import tube_packets as wire
from firmware_bridge.tube_packets import Command, Flag, Message

#: Part number and version, as command 23 tells them.
FIRMWARE: Final = ("EMULATED-XRV", "100")
#: Refusals: the argument after "!".
UNKNOWN, OUT_OF_RANGE, UNSAFE = 2, 3, 4
#: Hours since the beam was last on, and how many times the warm-up time the filament then needs.
WARM_UP_FACTORS: Final = ((8.0, 1.0), (72.0, 3.0), (float("inf"), 10.0))
#: Photon output rises about with the square of the voltage and with the current.
OUTPUT_EXPONENT: Final = 2.0
_FAULT_NAMES: Final = {
    "arc": "arc: anode",
    "over_temperature": "over-temperature: anode",
    "over_current": "over-current",
    "filament": "filament: feedback",
    "watchdog": "watchdog: no message from the lane in time",
}
#: Settings without a meaning for the beam here, kept because other people's drivers use them: (set, get).
_KEPT: Final = {"12": "16", "13": "17", "97": "38"}
#: First numbers of CONFIGURATION: over-voltage %, ramp rates, warning time, arc count, quench time.
_PRESETS: Final = (0, 110, 100, 100, 0, 4, 0, 100, 0)


@dataclass
class TubeDevice:
    """State of the generator; the beam is off at power-up. Call :meth:`step` often; it returns the bytes to send.

    ``warm_up_s``: filament heating after a short rest, s; ``rest_h``: hours since the beam was on, before power-up.
    ``watchdog_s``: the beam trips after so long without a valid message, 0: never. ``voltage``: part of it given.
    """

    FAULTS: ClassVar[tuple[str, ...]] = ("arc", "interlock", "mute", "over_temperature", "over_current", "filament")

    max_kv: float = 160.0
    max_ma: float = 30.0
    ramp_s: float = 0.5
    warm_up_s: float = 1.0
    rest_h: float = 0.0
    hours: float = 1200.0
    watchdog_s: float = 10.0
    voltage: float = 1.0
    filament: bool = False
    beam: bool = field(default=False, init=False)
    kv: float = field(default=0.0, init=False)
    ma: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        self.decoder = wire.Decoder()
        self._contact_closed, self._contact_broken = True, False
        self.local = False
        self._mute = False
        self._set = {Command.SET_KV: 0, Command.SET_MA: 0}
        self._kept = {get: ["0", "0"] if get == "38" else ["0"] for get in _KEPT.values()}
        self._latched: set[str] = set()
        self._present: set[str] = set()
        self._warm_left_s = self._warm_up_needed()
        self._now_s: float | None = None
        self._heard_s = 0.0

    @property
    def ready(self) -> bool:
        """True when the filament is hot and nothing is wrong."""
        return self.filament and self._warm_left_s <= 0 and not self._latched

    @property
    def fault(self) -> str:
        """Faults since the last reset, in words; empty when none."""
        return ", ".join(sorted(_FAULT_NAMES[name] for name in self._latched))

    @property
    def interlock_closed(self) -> bool:
        """True when the safety contact is closed and no injected fault holds the circuit open."""
        return self._contact_closed and not self._contact_broken

    def set_interlock(self, closed: bool) -> None:
        """The safety contact: open takes the beam down at once; closing it does not bring the beam back."""
        self._contact_closed = closed
        self._watch_interlock()

    def inject(self, fault: str, value: float = 1.0) -> None:
        """Make one of FAULTS happen; 0 removes its cause (a latched fault still needs a reset)."""
        if fault not in self.FAULTS:
            raise ValueError(f"emulated tube has no fault {fault!r}; it has {', '.join(self.FAULTS)}")
        if fault == "interlock":
            self._contact_broken = bool(value)
            self._watch_interlock()
        elif fault == "mute":
            self._mute = bool(value)
        elif not value:
            self._present.discard(fault)
        else:
            if fault != "arc":
                self._present.add(fault)
            self._trip(fault)

    def output(self, now_s: float) -> float:
        """Photon output now against the one at the set-points: 0 off, 1 stable."""
        self._advance(now_s)
        if not self.beam:
            return 0.0
        kv, ma = self._targets()
        return (self.kv / kv) ** OUTPUT_EXPONENT * (self.ma / ma) if kv and ma else 0.0

    def step(self, received: bytes, now_s: float) -> bytes:
        """Handle ``received`` at time ``now_s`` (any monotonic clock); returns what to send."""
        if self._now_s is None:
            self._heard_s = now_s
        messages = [] if self._mute else self.decoder.feed(received)
        if messages:
            self._heard_s = now_s
        self._advance(now_s)
        if self.watchdog_s and self.beam and now_s - self._heard_s > self.watchdog_s:
            self._trip("watchdog")
        return b"".join(wire.encode(message.command, *self._answer(message)) for message in messages)

    def _advance(self, now_s: float) -> None:
        passed = 0.0 if self._now_s is None else max(0.0, now_s - self._now_s)
        self._now_s = now_s
        if self.filament:
            self._warm_left_s = max(0.0, self._warm_left_s - passed)
        if not self.beam:
            self.rest_h += passed / 3600.0
            return
        self.rest_h, self.hours = 0.0, self.hours + passed / 3600.0
        part = passed / self.ramp_s if self.ramp_s > 0 else 1.0
        kv, ma = self._targets()
        # Set-points that change while the beam is on are ramped to as well, up or down.
        self.kv, self.ma = _towards(self.kv, kv, part), _towards(self.ma, ma, part)

    def _targets(self) -> tuple[float, float]:
        counts = self._set[Command.SET_KV], self._set[Command.SET_MA]
        return counts[0] / wire.COUNTS * self.max_kv * self.voltage, counts[1] / wire.COUNTS * self.max_ma

    def _warm_up_needed(self) -> float:
        return self.warm_up_s * next(factor for hours, factor in WARM_UP_FACTORS if self.rest_h <= hours)

    def _watch_interlock(self) -> None:
        if not self.interlock_closed:
            self._beam_down()

    def _beam_down(self) -> None:
        self.beam, self.kv, self.ma = False, 0.0, 0.0

    def _trip(self, fault: str) -> None:
        self._latched.add(fault)
        self._beam_down()
        if fault == "filament":
            self._switch_filament(False)

    def _switch_filament(self, on: bool) -> None:
        if on and not self.filament:
            self._warm_left_s = self._warm_up_needed()
        self.filament = on

    def _answer(self, message: Message) -> tuple[str | int, ...]:
        """Arguments of the answer to one message."""
        command, args = message.command, message.args
        if not args:
            return self._request(command) or (wire.REFUSED, UNKNOWN)
        if not all(arg.isdigit() for arg in args):
            return wire.REFUSED, OUT_OF_RANGE
        return self._carry_out(command, tuple(int(arg) for arg in args))

    def _carry_out(self, command: str, values: tuple[int, ...]) -> tuple[str | int, ...]:
        if command in _KEPT and len(values) == len(self._kept[_KEPT[command]]):
            self._kept[_KEPT[command]] = [str(value) for value in values]
            return (wire.DONE,)
        if len(values) != 1 or command not in (*self._set, Command.FILAMENT, Command.BEAM, "07", "32"):
            return wire.REFUSED, UNKNOWN
        value = values[0]
        if value > (wire.COUNTS if command in self._set else 5 if command == "07" else 1):
            return wire.REFUSED, OUT_OF_RANGE
        if command in self._set:
            self._set[command] = value
        elif command == Command.FILAMENT:
            if not value:
                self._beam_down()
            self._switch_filament(bool(value))
        elif command == Command.BEAM:
            if value and not self._may_switch_on():
                return wire.REFUSED, UNSAFE
            self.beam = bool(value)
            if not value:
                self._beam_down()
        return (wire.DONE,)

    def _may_switch_on(self) -> bool:
        return self.ready and self.interlock_closed and not self.local

    def _request(self, command: str) -> tuple[str | int, ...]:
        """Answer to a message without arguments; empty when there is none."""
        if command == Command.RESET_FAULTS:
            self._beam_down()
            self._latched = set(self._present)
            return (wire.DONE,)
        if command == "30":
            self.hours = 0.0
            return (wire.DONE,)
        kv = round(self.kv / self.max_kv / wire.MONITOR_RANGE * wire.COUNTS)
        ma = round(self.ma / self.max_ma / wire.MONITOR_RANGE * wire.COUNTS)
        kv_set, ma_set = self._set[Command.SET_KV], self._set[Command.SET_MA]
        if command in self._kept:
            return tuple(self._kept[command])
        readings: dict[str, tuple[str | int, ...]] = {
            Command.GET_KV_SET: (kv_set,),
            Command.GET_MA_SET: (ma_set,),
            Command.MONITORS: (kv, ma, 2000 * self.filament, kv_set, ma_set, 0, 0, 0),
            Command.HOURS: (f"{self.hours:.4f}",),
            Command.STATUS: tuple(int(flag) for flag in self._flags()),
            Command.FIRMWARE: FIRMWARE,
            Command.CONFIGURATION: (
                *_PRESETS,
                *(f"{value:g}" for value in (self.max_kv, self.max_ma, self.watchdog_s)),
            ),
            Command.SCALING: (f"{self.max_kv:g}", f"{self.max_ma:g}", 0),
            "43": FIRMWARE,
            "60": (kv,),
            "65": (3500,),
            "69": (600, 0, kv, 0, 2600, 2800, 0, 0, 3500, 2600),
            Command.FAULTS: tuple(
                int(any(_FAULT_NAMES[name] == text for name in self._latched)) for text in wire.FAULT_TEXTS
            ),
        }
        return readings.get(command, ())

    def _flags(self) -> list[bool]:
        flags = [False] * wire.FLAGS
        flags[Flag.BEAM] = self.beam
        for place in wire.INTERLOCKS:
            flags[place] = self.interlock_closed
        flags[Flag.EMISSION_CONTROL] = self.beam
        flags[Flag.FAULT] = bool(self._latched)
        flags[Flag.LOCAL] = self.local
        flags[Flag.FILAMENT] = self.filament
        flags[Flag.READY] = self.ready
        return flags


def _towards(value: float, target: float, part: float) -> float:
    reach = part * max(value, target)
    return min(value + reach, target) if value < target else max(value - reach, target)
