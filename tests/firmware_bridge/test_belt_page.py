"""The protocol page is the contract: its tables, test vectors and session hold for the code, byte by byte."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from firmware_bridge import belt, belt_packets
from firmware_bridge.belt_packets import _PAYLOADS, COMMANDS, EVENTS, MAX_PACKET, Decoder, Kind, Packet, encode
from firmware_bridge.emulator import belt_device, belt_machine
from firmware_bridge.emulator.belt_device import BeltDevice

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "belt-protocol.md").read_text(encoding="utf-8")
TYPES = {"uint8": "B", "uint32": "I", "uint64": "Q", "int64": "q", "bool": "?"}
LANE_BOOT, CONTROLLER_BOOT = 0x12345678, 0xA1B2C3D4


def block(name: str) -> str:
    found = re.search(rf"^```{name}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert found, f"the page has no block {name}"
    return found[1]


def vectors(name: str) -> Iterator[tuple[str, bytes]]:
    """(title, bytes) of every vector: a line of title, then indented lines of hex."""
    for title, digits in re.findall(r"^(\S.*)\n((?: .*\n)+)", block(name), re.MULTILINE):
        yield title, bytes.fromhex(digits)


def rows(heading: str) -> list[list[str]]:
    """Cells of the first table after ``heading`` whose first line begins with it."""
    lines = PAGE[PAGE.index(heading) :].splitlines()[2:]
    table = lines[: next(k for k, line in enumerate(lines) if not line.startswith("|"))]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


def named_packet(title: str) -> Packet:
    name, seq, boot, firmware, values = title.split(" ", 4)
    major, minor = map(int, firmware.split("."))
    return Packet(Kind[name], int(seq), int(boot, 16), tuple(json.loads(values)), firmware=(major, minor))


@pytest.mark.parametrize(("title", "line"), list(vectors("packets")))
def test_vectors_are_what_the_code_sends_and_reads(title: str, line: bytes) -> None:
    packet = named_packet(title)
    assert encode(packet) == line
    decoder = Decoder()
    assert decoder.feed(line) == [packet]
    assert decoder.corrupt == 0


def test_every_kind_has_a_vector() -> None:
    assert {named_packet(title).kind for title, _ in vectors("packets")} == set(Kind)


def test_packet_of_another_protocol_shows_version_and_boot_only() -> None:
    ((_, line),) = vectors("foreign")
    (packet,) = Decoder().feed(line)
    assert packet == Packet(Kind.WELCOME, 1, CONTROLLER_BOOT, (), 3, (3, 1))


@pytest.mark.parametrize(("title", "line"), list(vectors("refused")))
def test_refused_vectors_are_dropped_and_counted(title: str, line: bytes) -> None:
    decoder = Decoder()
    assert decoder.feed(line) == [], title
    assert decoder.corrupt >= 1
    good = Packet(Kind.HEARTBEAT, 0, 1)
    assert decoder.feed(encode(good)) == [good], "the next packet gets through"


def test_table_of_kinds_is_the_code() -> None:
    table = rows("| kind | name |")
    assert [(int(number), name) for number, name, *_ in table] == [(kind.value, kind.name) for kind in Kind]
    for _, name, sender, payload, seq in table:
        kind = Kind[name]
        fixed, has_text = _PAYLOADS[kind]
        fields = re.sub(r"\([^)]*\)", "", payload).split(",") if payload else []
        words = [field.split()[0] for field in fields]
        assert "<" + "".join(TYPES[word] for word in words if word != "text") == fixed.format, name
        assert ("text" in words) == has_text, name
        if kind in COMMANDS:
            assert (sender, seq) == ("lane", "of the command")
        if kind in EVENTS:
            assert (sender, seq) == ("controller", "of the event")


def test_table_of_times_and_limits_is_the_code() -> None:
    table = rows("| name | value |")
    assert len(table) == 11
    for name, value, _ in table:
        homes = [m for m in (belt, belt_packets, belt_device, belt_machine) if hasattr(m, name)]
        assert homes, name
        assert all(getattr(home, name) == float(value) for home in homes), name
    assert f"now {belt_packets.PROTOCOL};" in PAGE
    assert f"older than {'.'.join(map(str, belt_packets.OLDEST_FIRMWARE))}," in PAGE
    assert f"at most {MAX_PACKET} bytes" in PAGE
    assert f"at most {belt_packets.MAX_TAG} bytes" in PAGE


INPUTS: dict[str, Callable[[BeltDevice, str], None]] = {
    r"encoder (\d+)": lambda device, count: setattr(device, "encoder", int(count)),
    r'bag enters, tag "(.*)"': lambda device, tag: device.bag_entry(device.encoder, tag),
    r"bag leaves the barrier()": lambda device, _: device.bag_exit(device.encoder),
    r"button (pressed|released)": lambda device, how: device.set_estop(how == "pressed"),
    r"door (opens|closes)": lambda device, how: device.set_interlock(how == "closes"),
}


class Session:
    """Plays the page's session to the emulated controller and checks what it sends and does."""

    def __init__(self) -> None:
        self.device = BeltDevice(encoder_um=1.0)
        self.device.boot = CONTROLLER_BOOT
        self.decoder = Decoder()
        self.sent: list[Packet] = []
        self.ticks = 0

    def step(self, received: bytes = b"") -> None:
        packets = self.decoder.feed(self.device.step(received, self.ticks / 20))
        self.sent += [p for p in packets if p.kind != Kind.ENCODER]

    def until(self, time_s: float) -> None:
        while self.ticks < round(time_s * 20):
            self.ticks += 1
            self.step()

    def play(self, line: str) -> None:
        time_s, who, what = line.split(" ", 2)
        self.until(float(time_s))
        if who == ">":
            name, seq, values = what.split(" ", 2)
            self.step(encode(Packet(Kind[name], int(seq), LANE_BOOT, tuple(json.loads(values)))))
        elif who == "<":
            name, seq, values = what.split(" ", 2)
            assert self.sent, f"{line}: nothing was sent"
            got = self.sent.pop(0)
            assert (got.kind, got.seq, got.values) == (Kind[name], int(seq), tuple(json.loads(values))), line
        elif who == "!":
            ((pattern, action),) = [(p, a) for p, a in INPUTS.items() if re.fullmatch(p, what)]
            match = re.fullmatch(pattern, what)
            assert match
            action(self.device, match[1])
            self.step()
        else:
            device = self.device
            state = f"moving {device.moving:d}, clear line {device.clear_line:d}, lamps {device.lights:d}"
            assert f"= {state}" == f"{who} {what}", line


def test_session_of_the_page() -> None:
    session = Session()
    lines = block("session").splitlines()
    assert len(lines) > 60
    for line in lines:
        session.play(line)
    assert session.sent == []
