"""Damage to packets on the line: how many of a million damaged packets does a decoder take for another packet?

``python -m tests.fuzz.mutations [--count N] [--seed S]`` prints the table of docs/reference/fuzzing.md.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from cobs import cobs

from firmware_bridge import belt_packets as belt
from firmware_bridge import tube_packets as tube

Mutation = Callable[[random.Random, bytearray], None]


def _flip(rng: random.Random, line: bytearray) -> None:
    line[rng.randrange(len(line))] ^= 1 << rng.randrange(8)


def _flips(rng: random.Random, line: bytearray) -> None:
    for _ in range(rng.randrange(2, 9)):
        _flip(rng, line)


def _burst(rng: random.Random, line: bytearray) -> None:
    start = rng.randrange(len(line))
    stop = min(len(line), start + rng.randrange(1, 9))
    line[start:stop] = rng.randbytes(stop - start)


def _replace(rng: random.Random, line: bytearray) -> None:
    line[rng.randrange(len(line))] = rng.randrange(256)


def _insert(rng: random.Random, line: bytearray) -> None:
    at = rng.randrange(len(line) + 1)
    line[at:at] = rng.randbytes(rng.randrange(1, 4))


def _delete(rng: random.Random, line: bytearray) -> None:
    at = rng.randrange(len(line))
    del line[at : at + rng.randrange(1, 4)]


def _cut(rng: random.Random, line: bytearray) -> None:
    del line[rng.randrange(len(line)) : -1]


def _swap(rng: random.Random, line: bytearray) -> None:
    a, b = rng.randrange(len(line)), rng.randrange(len(line))
    line[a], line[b] = line[b], line[a]


def _repeat(rng: random.Random, line: bytearray) -> None:
    start = rng.randrange(len(line))
    part = line[start : start + rng.randrange(1, 16)]
    at = rng.randrange(len(line) + 1)
    line[at:at] = part


def _noise(rng: random.Random, line: bytearray) -> None:
    line[:-1] = rng.randbytes(len(line) - 1)


#: What may happen to a packet; a mutation is one to three of these.
MUTATIONS: Final[tuple[Mutation, ...]] = (
    _flip, _flips, _burst, _replace, _insert, _delete, _cut, _swap, _repeat, _noise,
)  # fmt: skip


@dataclass
class Tally:
    """Outcome of a campaign. ``wrong``: (bytes, what was read) of packets that nobody sent."""

    mutations: int = 0
    same: int = 0
    rejected: int = 0
    intact: int = 0
    wrong: list[tuple[bytes, object]] = field(default_factory=list)
    seconds: float = 0.0


class Campaign:
    """Packets of ``make``, coded by ``encode``, damaged and read by ``decode``."""

    def __init__(
        self,
        make: Callable[[random.Random], object],
        encode: Callable[[object], bytes],
        decode: Callable[[bytes], list[object]],
        inside: Callable[[random.Random, bytes], bytes] | None = None,
    ) -> None:
        self._make, self._encode, self._decode, self._inside = make, encode, decode, inside

    def run(self, count: int, seed: int) -> Tally:
        """Damage ``count`` packets; each must be read as what was sent or not at all."""
        rng = random.Random(seed)  # noqa: S311 - repeatable, not secret
        tally = Tally()
        began = time.perf_counter()
        for _ in range(count):
            sent = [self._make(rng)]
            line = bytearray(self._encode(sent[0]))
            if rng.random() < 0.1:  # two packets, so that damage can join them
                sent.append(self._make(rng))
                line += self._encode(sent[1])
            whole = bytes(line)
            if self._inside is not None and rng.random() < 0.1:
                line[:] = self._inside(rng, whole)
            else:
                for _ in range(rng.choice((1, 1, 2, 3))):
                    if line:
                        rng.choice(MUTATIONS)(rng, line)
            tally.mutations += 1
            if bytes(line) == whole:
                tally.same += 1
                continue
            read = self._decode(bytes(line))
            tally.wrong += [(bytes(line), packet) for packet in read if packet not in sent]
            tally.intact += bool(read) and all(packet in sent for packet in read)
            tally.rejected += not read
        tally.seconds = time.perf_counter() - began
        return tally


_FIELDS: Final[dict[str, Callable[[random.Random], int | bool]]] = {
    "Q": lambda rng: rng.getrandbits(rng.choice((8, 40, 64))),
    "q": lambda rng: rng.choice((1, -1)) * rng.getrandbits(rng.choice((8, 24, 63))),
    "I": lambda rng: rng.getrandbits(rng.choice((8, 32))),
    "B": lambda rng: rng.randrange(8),
    "?": lambda rng: rng.random() < 0.5,
}


def _belt_packet(rng: random.Random) -> belt.Packet:
    kind = rng.choice(tuple(belt.Kind))
    fixed, has_text = belt._PAYLOADS[kind]
    values: list[int | bool | str] = [_FIELDS[code](rng) for code in fixed.format[1:]]
    if has_text:
        values.append("".join(rng.choices("LH 0042é-", k=rng.choice((0, 7, 30)))))
    return belt.Packet(kind, rng.getrandbits(rng.choice((8, 32))), rng.getrandbits(32), tuple(values))


def _before_cobs(rng: random.Random, line: bytes) -> bytes:
    """Damage in the sender's memory, before COBS: only the CRC can find it."""
    raw = bytearray(cobs.decode(line.split(b"\0")[0]))
    rng.choice((_flip, _flips, _burst, _swap, _noise))(rng, raw)
    return bytes(cobs.encode(raw)) + b"\0"


def _tube_message(rng: random.Random) -> tube.Message:
    args = ["".join(rng.choices("0123456789.", k=rng.randrange(1, 5))) for _ in range(rng.randrange(18))]
    return tube.Message(f"{rng.randrange(100):02d}", tuple(args))


def _encode_belt(packet: object) -> bytes:
    assert isinstance(packet, belt.Packet)
    return belt.encode(packet)


def _encode_tube(message: object) -> bytes:
    assert isinstance(message, tube.Message)
    return tube.encode(message.command, *message.args)


CAMPAIGNS: Final = {
    "belt controller (CRC-32)": Campaign(
        _belt_packet, _encode_belt, lambda line: [*belt.Decoder().feed(line)], _before_cobs
    ),
    "x-ray generator (6-bit sum)": Campaign(_tube_message, _encode_tube, lambda line: [*tube.Decoder().feed(line)]),
}


def main() -> int:
    """Run the campaigns; the exit code is 1 when the belt controller's decoder took a damaged packet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1_000_000, help="mutations per decoder")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    failed = False
    for name, campaign in CAMPAIGNS.items():
        tally = campaign.run(options.count, options.seed)
        print(
            f"{name}: {tally.mutations} mutations in {tally.seconds:.0f} s; rejected {tally.rejected}, only intact "
            f"packets read {tally.intact}, no change {tally.same}, damaged packets accepted {len(tally.wrong)}",
            flush=True,
        )
        for line, packet in tally.wrong[:3]:
            print(f"  {line.hex(' ')} read as {packet}")
        failed |= name.startswith("belt") and bool(tally.wrong)
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main())
