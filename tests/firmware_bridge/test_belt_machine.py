"""The belt controller's rules under any order of events: a model that is told only what the page says."""

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from firmware_bridge import belt_packets as wire
from firmware_bridge.belt_packets import Decoder, Kind, Light, Packet, encode
from firmware_bridge.emulator.belt_device import BeltDevice

COUNTS = st.integers(-50, 400)
#: A power of two: no rounding decides at a limit.
TICK_S = 1 / 16


class Controller(RuleBasedStateMachine):
    """Model and device side by side; each rule is something that may happen, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.device = BeltDevice(encoder_um=1.0)
        self.decoder = Decoder()
        self.ticks = self.heard = 0
        self.alive = False
        self.stood = 0
        self.seq = 0
        self.closed, self.pressed, self.latched, self.moving = True, False, False, False
        self.windows: list[tuple[int, int]] = []
        self.lamps = Light(0)

    def step(self, sent: bytes = b"") -> list[Packet]:
        return self.decoder.feed(self.device.step(sent, self.ticks * TICK_S))

    def command(self, kind: Kind, *values: int) -> bool:
        self.seq += 1
        self.heard, self.alive = self.ticks, True
        answers = self.step(encode(Packet(kind, self.seq, 7, values)))
        ((accepted, reason),) = [p.values for p in answers if p.kind == Kind.REPLY]
        assert accepted == (reason == "")
        return bool(accepted)

    def drop(self) -> None:
        self.windows = []

    def settle(self) -> None:
        """What the page says happens by itself."""
        if not self.closed or self.latched:
            self.moving = False
            self.drop()
        if not self.alive or self.stood * TICK_S > wire.STALL_S:
            self.drop()
        self.windows = [window for window in self.windows if window[1] > self.device.encoder]

    @rule(ticks=st.integers(1, 8), counts=st.sampled_from([0, 0, 3, 20]))
    def time_passes(self, ticks: int, counts: int) -> None:
        for _ in range(ticks):
            self.ticks += 1
            moved = counts if self.moving else 0
            self.device.encoder += moved
            self.stood = self.stood + 1 if self.moving and not moved else 0
            self.alive = self.alive and (self.ticks - self.heard) * TICK_S <= wire.HEARTBEAT_TIMEOUT_S
            self.step()
            self.settle()

    @rule(ticks=st.sampled_from([15, 16, 17, 18, 31, 32, 33, 34]), counts=st.integers(0, 1))
    def silence_in_a_window(self, ticks: int, counts: int) -> None:
        """Around the times at which the lane counts as dead, and a standing encoder as failed."""
        self.start()
        self.clear(0, 200)
        self.time_passes(ticks, counts)

    @rule()
    def heartbeat(self) -> None:
        self.heard, self.alive = self.ticks, True
        self.step(encode(Packet(Kind.HEARTBEAT, 0, 7)))

    @rule()
    def start(self) -> None:
        assert self.command(Kind.START) == (self.closed and not self.latched)
        if self.closed and not self.latched:
            self.moving = True

    @rule()
    def stop(self) -> None:
        assert self.command(Kind.STOP)
        self.moving, self.stood = False, 0

    @rule(start=COUNTS, length=st.integers(-1, 200))
    def clear(self, start: int, length: int) -> None:
        here = self.device.encoder
        window = (here + start, here + start + length)
        fits = length > 0 and window[1] > here and all(window[1] <= a or b <= window[0] for a, b in self.windows)
        wanted = fits and self.closed and not self.latched and len(self.windows) < 16
        assert self.command(Kind.CLEAR_LINE, self.device.boot, *window) == wanted
        if wanted:
            self.windows.append(window)
        self.settle()

    @rule(lamps=st.integers(0, 15))
    def lights(self, lamps: int) -> None:
        assert self.command(Kind.SET_LIGHTS, lamps) == (lamps < 8)
        if lamps < 8:
            self.lamps = Light(lamps)

    @rule(closed=st.booleans())
    def door(self, closed: bool) -> None:
        self.device.set_interlock(closed)
        self.closed = closed
        self.settle()
        self.step()

    @rule(pressed=st.booleans())
    def button(self, pressed: bool) -> None:
        self.device.set_estop(pressed)
        self.pressed = pressed
        self.latched = self.latched or pressed
        self.settle()
        self.step()

    @rule()
    def reset(self) -> None:
        assert self.command(Kind.RESET_ESTOP) == (not self.pressed)
        self.latched = self.pressed

    @rule()
    def another_lane(self) -> None:
        self.heard, self.alive = self.ticks, True
        self.seq += 1
        self.step(encode(Packet(Kind.HELLO, 1, 1000 + self.seq)))
        self.drop()

    @rule()
    def restart(self) -> None:
        self.device.inject("reboot")
        self.ticks += 1
        self.alive, self.moving, self.stood, self.lamps = False, False, 0, Light(0)
        self.drop()
        self.step()

    @invariant()
    def outputs_are_those_of_the_page(self) -> None:
        device, well = self.device, self.closed and not self.latched
        assert device.moving == self.moving
        assert device.beam_permitted == well
        assert device.clear_line == any(start <= device.encoder < stop for start, stop in self.windows)
        wanted = self.lamps if well and self.alive else (self.lamps | Light.RED) & ~Light.GREEN
        assert device.lights == wanted


TestController = Controller.TestCase
TestController.settings = settings(
    max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
