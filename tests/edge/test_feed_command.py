"""``darklane feed record | play``, and recordings that are torn or damaged."""

from __future__ import annotations

import random
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edge.client import FeedClient
from edge.client.recording import MAGIC, Heard, Recorder, Recording, RecordingError
from edge.commands.feed import app
from edge.messages import Verdict
from tests.edge.feed_gateway import Gateway
from tests.fuzz.mutations import MUTATIONS
from tests.ports import free_port


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    made = Gateway()
    yield made
    made.close()


def recorded(path: Path, number: int = 5) -> list[Heard]:
    messages = [Heard(n * 1000, [b"bag.start", b"x" * n, b""]) for n in range(number)]
    with Recorder(path, {"feed": "test"}) as recorder:
        for heard in messages:
            recorder.add(heard.after_ns, heard.frames)
    return messages


def read(path: Path) -> tuple[list[Heard], bool]:
    with Recording(path) as recording:
        return list(recording.messages()), recording.torn


def test_what_was_heard_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "feed.rec"
    written = recorded(path)
    assert read(path) == (written, False)
    with Recording(path) as recording:
        assert recording.about == {"feed": "test"}
    with pytest.raises(FileExistsError):
        Recorder(path, {})


def test_a_torn_end_is_said_and_the_rest_is_good(tmp_path: Path) -> None:
    path = tmp_path / "feed.rec"
    written = recorded(path)
    path.write_bytes(path.read_bytes()[:-3])
    assert read(path) == (written[:-1], True)


def test_no_damage_is_taken_for_another_message(tmp_path: Path) -> None:
    path = tmp_path / "feed.rec"
    written = recorded(path)
    good, rng = path.read_bytes(), random.Random(4)  # noqa: S311
    refused = 0
    for _ in range(200):
        data = bytearray(good)
        for _ in range(rng.randrange(1, 4)):
            if data:
                rng.choice(MUTATIONS)(rng, data)
        path.write_bytes(data)
        try:
            messages, _ = read(path)
        except RecordingError:
            refused += 1
            continue
        assert messages == written[: len(messages)]
    assert refused > 100


@pytest.mark.parametrize("data", [b"", b"hello\n", MAGIC, MAGIC + b"\xff" * 8])
def test_what_is_no_recording_is_named(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "other"
    path.write_bytes(data)
    with pytest.raises(RecordingError, match="other"):
        Recording(path)


def test_a_lane_is_recorded_and_played_again(gateway: Gateway, tmp_path: Path) -> None:
    path = tmp_path / "feed.rec"
    results = []
    arguments = ["record", str(path), "--feed", gateway.feed_address, "--finals", "3"]
    recording = threading.Thread(target=lambda: results.append(CliRunner().invoke(app, arguments)))
    recording.start()
    gateway.joined(5)
    for seq in (1, 2, 3):
        gateway.serve()
        gateway.decide(seq)
    recording.join()
    assert results[0].exit_code == 0, results[0].output
    assert "6 message(s)" in results[0].output

    address = f"tcp://127.0.0.1:{free_port(socket.SOCK_STREAM)}"
    playing = threading.Thread(
        target=lambda: results.append(CliRunner().invoke(app, ["play", str(path), "--address", address]))
    )
    with FeedClient(address, after=0) as client:
        playing.start()
        got: list[int] = []
        while len(got) < 3:
            item = client.next(20.0)
            assert item is not None
            if isinstance(item, Verdict):
                got.append(item.seq)
        playing.join()
    assert got == [1, 2, 3]
    assert "6 message(s)" in results[1].output


def test_a_file_that_is_there_is_not_overwritten(gateway: Gateway, tmp_path: Path) -> None:
    path = tmp_path / "feed.rec"
    path.write_bytes(b"mine")
    done = CliRunner().invoke(app, ["record", str(path), "--feed", gateway.feed_address])
    assert done.exit_code == 1
    assert path.read_bytes() == b"mine"
    done = CliRunner().invoke(app, ["play", str(path)])
    assert done.exit_code == 1
    assert "not a recording" in done.output


def test_keys_come_in_pairs(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["record", str(tmp_path / "x"), "--key", str(tmp_path / "k")])
    assert done.exit_code == 2
    assert "belong together" in done.output
