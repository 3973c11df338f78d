"""``darklane feed``: record what a subscriber hears, and play it again for programs under test."""

from __future__ import annotations

import time
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer
import zmq

from edge import topics, wire
from edge.client import connection
from edge.client.recording import Recorder, Recording, RecordingError
from edge.commands.feed_options import FeedOption, KeyOption, ServerKeyOption, local, read_keys
from edge.commands.options import ConfigOption, StateDirOption, configuration, fail
from edge.messages import Verdict

app = typer.Typer(no_args_is_help=True, help="Record the verdict feed, or play a recording.")

POLL_MS = 100
#: After the first subscription, so that a client's other topics have come too.
SETTLE_S = 0.2


@app.command()
def record(
    file: Annotated[Path, typer.Argument(help="New file.")],
    feed: FeedOption = "",
    server_key: ServerKeyOption = None,
    key: KeyOption = None,
    images: Annotated[bool, typer.Option("--images", help="Record previews too.")] = False,
    seconds: Annotated[float | None, typer.Option("--seconds", min=0.1, show_default="until Ctrl-C")] = None,
    finals: Annotated[int | None, typer.Option("--finals", min=1, help="End after so many final verdicts.")] = None,
    config: ConfigOption = None,
    state_dir: StateDirOption = None,
) -> None:
    """Write everything that the feed says into FILE, as it comes; the numbers in it show what was missed."""
    keys = read_keys(server_key, key)
    address = feed or local(configuration(config, state_dir))
    wanted = (*connection.TOPICS, topics.BAG_IMAGE) if images else connection.TOPICS
    about: dict[str, str | int] = {"feed": address, "begun_ns": time.time_ns(), "software": _software()}
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    try:
        with connection.subscriber(context, address, wanted, keys) as socket, Recorder(file, about) as recorder:
            with suppress(KeyboardInterrupt):
                _record(socket, recorder, seconds, finals)
            typer.echo(f"{recorder.messages} message(s) in {file}")
    except (OSError, ValueError) as error:
        fail(f"{file}: {error}", 1)
    finally:
        context.term()


def _software() -> str:
    try:
        return f"darklane {metadata.version('darklane')}"
    except metadata.PackageNotFoundError:
        return "darklane"


def _record(socket: zmq.Socket[bytes], recorder: Recorder, seconds: float | None, finals: int | None) -> None:
    begun = time.monotonic_ns()
    while finals is None or finals > 0:
        if seconds is not None and time.monotonic_ns() - begun > seconds * 1e9:
            return
        if not socket.poll(POLL_MS):
            continue
        frames = socket.recv_multipart()
        recorder.add(time.monotonic_ns() - begun, frames)
        if finals is not None and frames[0] == topics.BAG_VERDICT.encode():
            finals -= _is_final(frames)


def _is_final(frames: list[bytes]) -> bool:
    try:
        return wire.decode(frames, Verdict)[1].final
    except wire.WireError:
        return False


@app.command()
def play(
    file: Annotated[Path, typer.Argument(help="A recording.")],
    address: Annotated[str, typer.Option("--address", help="Publish here.")] = "tcp://127.0.0.1:7150",
    speed: Annotated[float, typer.Option("--speed", min=0, help="Times faster; 0: as fast as it goes.")] = 1.0,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Begin when somebody subscribes.")] = True,
) -> None:
    """Publish a recording as a lane would, once. What was recorded is old: nothing here is a verdict of now."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    try:
        with context.socket(zmq.XPUB) as socket, Recording(file) as recording:
            # What a subscriber has not read yet is still sent when this ends.
            socket.linger = 10_000
            socket.setsockopt(zmq.XPUB_NODROP, 1)
            socket.bind(address)
            typer.echo(f"{file}: {recording.about.get('feed', '?')}; on {socket.getsockopt_string(zmq.LAST_ENDPOINT)}")
            if wait:
                socket.recv()
                time.sleep(SETTLE_S)
            typer.echo(f"{_play(socket, recording, speed)} message(s)")
            if recording.torn:
                typer.echo(f"{file} ends in the middle of a message: whoever recorded it was stopped", err=True)
    except (RecordingError, zmq.ZMQError) as error:
        fail(f"{address}: {error}" if isinstance(error, zmq.ZMQError) else str(error), 1)
    except KeyboardInterrupt:
        return
    finally:
        context.term()


def _play(socket: zmq.Socket[bytes], recording: Recording, speed: float) -> int:
    begun, first, sent = time.monotonic_ns(), None, 0
    for heard in recording.messages():
        first = heard.after_ns if first is None else first
        if speed:
            due = begun + (heard.after_ns - first) / speed
            time.sleep(max(0.0, (due - time.monotonic_ns()) / 1e9))
        socket.send_multipart(heard.frames)
        sent += 1
    return sent
