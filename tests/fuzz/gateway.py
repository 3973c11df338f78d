"""Damaged bytes into the decoders of what other computers reach: requests, ZAP requests, key files.

``python -m tests.fuzz.gateway [--count N] [--seed S]`` prints the table of docs/reference/fuzzing.md. Requests carry no
checksum of their own (CURVE has one for each message), so a damaged one may be another good request; it must then
survive being written and read again, and name no file outside the archive.
"""

from __future__ import annotations

import argparse
import random
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from zmq.utils import z85

from edge import topics, wire
from edge.gateway.requests import RequestError, decode
from edge.messages import FeedRequest
from edge.security import key_file, zap
from edge.security.key_file import Key, KeyFileError
from edge.security.keys import Admitted
from tests.fuzz.mutations import MUTATIONS

_LENGTH: Final = struct.Struct(">H")
#: Made once: fuzzing is repeatable.
_KEYS: Final = (
    Key("sorter-2", b"Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID", b"D:)Q[IlAW!ahhC2ac:9*A}h:p?([4%wOTJ%JR%cs"),
    Key("a.b_c-D", b"rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7", b"JTKVSB%%)wK0E.X)V>+}o?pNmC{O&4W4b!Ni{Lh6"),
)


@dataclass
class Counts:
    """``other``: read as another good message; ``wrong``: accepted although it must not be."""

    mutations: int = 0
    same: int = 0
    rejected: int = 0
    other: int = 0
    wrong: int = 0
    seconds: float = 0.0


Case = tuple[bytes, Callable[[bytes], str]]


def _join(frames: list[bytes]) -> bytes:
    return b"".join(_LENGTH.pack(len(frame)) + frame for frame in frames)


def _split(data: bytes) -> list[bytes]:
    frames, at = [], 0
    while at + _LENGTH.size <= len(data):
        (length,) = _LENGTH.unpack_from(data, at)
        frames.append(data[at + _LENGTH.size : at + _LENGTH.size + length])
        at += _LENGTH.size + length
    return frames


def _request(rng: random.Random) -> Case:
    request = FeedRequest(
        request_id="".join(rng.choices("abc-19", k=rng.randrange(12))),
        ask=rng.choice(("snapshot", "replay", "image", "calibration")),
        after_seq=rng.getrandbits(rng.choice((4, 40))),
        until_seq=rng.getrandbits(rng.choice((1, 40))),
        limit=rng.randrange(1, 501),
        bag_id=rng.choice(("", "T-17.20251009T085320.00042")),
    )
    frames = [bytes(frame) for frame in wire.encode(topics.REQUEST, request)]

    def read(data: bytes) -> str:
        try:
            found = decode(_split(data))
        except RequestError:
            return "rejected"
        again = decode([bytes(frame) for frame in wire.encode(topics.REQUEST, found)])
        if again != found or "/" in found.bag_id or not 1 <= found.limit <= 500:
            return "wrong"
        return "same" if found == request else "other"

    return _join(frames), read


def _zap(rng: random.Random) -> Case:
    raw = {z85.decode(key.public): key.name for key in _KEYS}
    known = Admitted(raw, {})
    key = rng.choice(tuple(raw))
    frames = [b"1.0", str(rng.randrange(99)).encode(), b"darklane", b"10.0.0.5", b"", b"CURVE", key]

    def read(data: bytes) -> str:
        try:
            found = zap.decode(_split(data))
        except zap.ZapError:
            return "rejected"
        if not zap.judge(found, known).user:
            return "rejected"
        right = (found.domain, found.mechanism) == ("darklane", "CURVE") and found.credentials[0] in raw
        # What is left is not what somebody is admitted by: request id, address, the name that he gives himself.
        return "other" if right and len(found.credentials) == 1 else "wrong"

    return _join(frames), read


def _file(rng: random.Random) -> Case:
    key = rng.choice(_KEYS)
    key = key if rng.random() < 0.5 else key.without_secret
    whole = key_file.render(key).encode()

    def read(data: bytes) -> str:
        try:
            found = key_file.parse(data)
        except KeyFileError:
            return "rejected"
        return "same" if found == key and data == whole else "wrong"

    return whole, read


CAMPAIGNS: Final[dict[str, Callable[[random.Random], Case]]] = {
    "requests": _request,
    "ZAP requests": _zap,
    "key files": _file,
}


def run(make: Callable[[random.Random], Case], count: int, seed: int) -> Counts:
    """Damage ``count`` messages; anything but a refusal of ours is an exception."""
    rng = random.Random(seed)  # noqa: S311 - repeatable, not secret
    counts = Counts()
    began = time.perf_counter()
    for number in range(count):
        if number % 10 == 0:
            whole, read = make(rng)
        data = bytearray(whole)
        for _ in range(rng.choice((1, 1, 2, 3))):
            if data:
                rng.choice(MUTATIONS)(rng, data)
        counts.mutations += 1
        outcome = "same" if bytes(data) == whole else read(bytes(data))
        setattr(counts, outcome, getattr(counts, outcome) + 1)
    counts.seconds = time.perf_counter() - began
    return counts


def main() -> int:
    """Run every campaign and print one row each; exit code 1 when something was accepted that must not be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    failed = False
    print("| decoder | damaged | unchanged | refused | another good message | wrongly accepted | time |")
    print("|---|---|---|---|---|---|---|")
    for name, make in CAMPAIGNS.items():
        c = run(make, arguments.count, arguments.seed)
        failed |= bool(c.wrong)
        print(
            f"| {name} | {c.mutations} | {c.same} | {c.rejected} | {c.other} | {c.wrong} | {c.seconds:.0f} s |",
            flush=True,
        )
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main())
