"""Motion axes on cut, disturbed and senseless lines."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridge.emulator.aries_device import AriesDevice
from firmware_bridge.emulator.axis_device import Stage
from firmware_bridge.emulator.esp_device import EspDevice
from firmware_bridge.motion import AxisError, EspAxis, LinkError, open_axes
from tests.firmware_bridge.motion_benches import BENCHES, Bench
from tests.firmware_bridge.motion_lines import Device, on_pty


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("firmware_bridge.motion.line.ANSWER_S", 0.2)


@pytest.fixture(params=BENCHES)
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    made = BENCHES[request.param](tmp_path)
    yield made
    made.close()


def test_the_controllers_own_limit_is_an_error_and_a_cut_line_another(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    axis = bench.open(bench.wide)
    with pytest.raises(AxisError, match=bench.outside_error):
        axis.move_to(bench.outside)
    assert not axis.moving()
    axis.move_to(abs(axis.position() - 1.0))
    monkeypatch.setattr("firmware_bridge.motion.line.ANSWER_S", 0.2)
    bench.cut()
    calls: tuple[Callable[[], object], ...] = (axis.position, axis.moving, axis.status, axis.start_home)
    for call in calls:
        with pytest.raises((LinkError, AxisError), match=" at "):
            call()


class Disturbed:
    """A device whose answers may be spoiled on the way."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.spoil: Callable[[bytes], bytes] = bytes

    def step(self, received: bytes, now_s: float) -> bytes:
        sent = self.device.step(received, now_s)
        return self.spoil(sent) if sent else sent


def spoilers(seed: int) -> dict[str, Callable[[bytes], bytes]]:
    """Ways to spoil an answer. Every call of one spoils differently, and leaves every second answer alone."""
    rng = random.Random(seed)  # noqa: S311
    kept: list[bytes] = []

    def late(sent: bytes) -> bytes:
        kept.append(sent)
        return b"" if len(kept) % 2 else b"".join(kept[-2:])

    def cut(sent: bytes) -> bytes:
        return sent[: rng.randrange(len(sent))]

    def digits(sent: bytes) -> bytes:
        return bytes(rng.choices(b"0123456789", k=rng.randrange(1, 4))) + sent

    def line(sent: bytes) -> bytes:
        return rng.randbytes(rng.randrange(8)) + b"\r\n" + sent

    def flip(sent: bytes) -> bytes:
        place = rng.randrange(len(sent))
        return sent[:place] + bytes([sent[place] ^ (1 << rng.randrange(8))]) + sent[place + 1 :]

    ways = {"late": late, "cut": cut, "digits": digits, "line": line, "flip": flip}

    def sometimes(way: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
        return lambda sent: way(sent) if rng.random() < 0.5 else sent

    return {name: way if name == "late" else sometimes(way) for name, way in ways.items()}


@pytest.mark.parametrize("way", spoilers(0))
@pytest.mark.parametrize("protocol", ["esp", "aries"])
def test_a_disturbed_line_never_gives_a_wrong_position(
    protocol: str, way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage(37.125, closed_loop=protocol == "esp", powered=True)
    device = Disturbed(EspDevice({1: stage}) if protocol == "esp" else AriesDevice({1: stage}))
    table = {"controller": "c", "axis": 1, "unit": "um", "lower": -90, "upper": 90, "steps_per_unit": 1000.0}
    with (
        on_pty(device, tmp_path / "line") as link,
        open_axes({"c": {"protocol": protocol, "port": str(link)}}, {"x": table}) as axes,
    ):
        monkeypatch.setattr("firmware_bridge.motion.line.ANSWER_S", 0.02)
        device.spoil = spoilers(7)[way]
        wrong, refused = [], 0
        for _ in range(30):
            try:
                place = axes["x"].position()
            except (AxisError, LinkError):
                refused += 1
            else:
                wrong += [place] if abs(place - 37.125) > 0.1 else []
        assert not wrong
        assert refused
        device.spoil = bytes
        monkeypatch.setattr("firmware_bridge.motion.line.ANSWER_S", 2.0)
        time.sleep(0.02)
        assert axes["x"].position() == 37.125, "it is in step again by itself"


def test_a_device_that_babbles_does_not_hold_us(tmp_path: Path, impatient: None) -> None:
    class Babbler:
        def step(self, received: bytes, now_s: float) -> bytes:
            return b"7\r\n" * 50

    with on_pty(Babbler(), tmp_path / "line") as link:
        with pytest.raises(AxisError, match=r"did not answer VE\?"):
            EspAxis(link, 1)
        with pytest.raises(AxisError, match=r"did not answer IDN"):
            open_axes({"c": {"protocol": "aries", "port": link}}, {"x": {"controller": "c"}})


class Script:
    """A serial line on which every command is answered by the next chunk, and which then goes away."""

    def __init__(self, chunks: list[bytes]) -> None:
        self.chunks = chunks
        self.here = b""

    def write(self, data: bytes) -> None:
        self.here += self.chunks.pop(0) if self.chunks else b""

    def read(self, timeout_s: float = 0.0) -> bytes:
        if timeout_s and not self.here:
            raise LinkError("gone")
        here, self.here = self.here, b""
        return here

    def close(self) -> None:
        pass


#: What opens an axis, then what may come after it, from one of many devices.
OPENING = {
    "esp": ["ESP301 V1", "0", "0", "", "", "0", "400"],
    "aries": ["C\tIDN\tARIES\t1", "C\tRSY1\t16\t1000"],
}
ANSWERS = {
    "esp": ["ESP301 V1", "0", "1", "37.5", "-4", "104", "4", "0H, 0H", "101H, 0H", "1e999", "-1e5", "0.5", "77777"],
    "aries": [
        *("C\tIDN\tARIES\t1", "C\tRSY1\t16\t1000", "C\tRDP1\t5", "C\tSTR1\t0\t0\t0\t0\t0\t0", "C\tSTR1\t1\t0\t0\t3"),
        *("C\tROG1\t1", "E\tSYS\t5", "W\tAPS1\t350", "E\tAPS1\t309", "E\tAPS1", "C\tAPS1", "C\tSTP1", "C\tORG1"),
        *(f"C\tRDP1\t{10**200}", "C", "\t\t"),
    ],
}


def answers(protocol: str) -> st.SearchStrategy[list[bytes]]:
    opening = [text.encode() + b"\r\n" if text else b"" for text in OPENING[protocol]]
    good = st.sampled_from(ANSWERS[protocol]).map(lambda text: text.encode() + b"\r\n")
    others = st.lists(st.one_of(good, good, good, st.binary(max_size=300), st.lists(good).map(b"".join)), max_size=30)
    return st.one_of(others, others.map(lambda rest: opening + rest))


@pytest.mark.parametrize("protocol", ["esp", "aries"])
@given(st.data())
def test_whatever_is_answered_only_our_errors_come_out(protocol: str, data: st.DataObject) -> None:
    chunks = data.draw(answers(protocol))
    table = {"controller": "c", "axis": 1, "unit": "um", "lower": -90, "upper": 90, "steps_per_unit": 1.0}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("firmware_bridge.motion.line.SerialLink", lambda *_, **__: Script(chunks))
        try:
            axes = open_axes({"c": {"protocol": protocol, "port": "line"}}, {"x": table})
        except (AxisError, LinkError):
            return
    axis = axes["x"]
    calls: list[Callable[[], object]] = [
        *(axis.position, axis.moving, axis.status, axis.stop, axes.stop_all, axis.start_home),
        *(lambda: axis.start_move(3.0), lambda: axis.move_to(3.0, 0.0), lambda: axis.home(0.0)),
    ]
    for call in data.draw(st.lists(st.sampled_from(calls), max_size=8)):
        with suppress(AxisError, LinkError):
            call()
