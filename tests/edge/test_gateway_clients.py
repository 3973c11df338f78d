"""Clients on the real gateway: the manual's script, our library with keys, karabo_bridge, previews of the tap."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zmq

from edge.client import FeedClient, Keys, Picture
from edge.gateway.preview import MAX_ROWS
from edge.messages import LaneState, Verdict
from edge.security import key_file
from tests.edge.archive_bags import bag
from tests.edge.gateway_bench import LOCAL, GatewayBench

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "feed.md"


@pytest.fixture
def bench(request: pytest.FixtureRequest) -> Iterator[GatewayBench]:
    made = GatewayBench(**request.param)
    yield made
    made.close()


def drain(client: FeedClient, into: list[Any]) -> list[Any]:
    """What the client has now."""
    item = client.next(0.0)
    while item is not None:
        into.append(item)
        item = client.next(0.0)
    return into


def seqs(items: list[Any]) -> list[int]:
    return [item.seq for item in items if isinstance(item, Verdict)]


def script(folder: Path, silent_ms: int) -> list[str]:
    """Command of the manual's script, with another patience: three seconds are short on a busy machine."""
    code = PAGE.read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
    assert len(code.splitlines()) <= 20
    assert "poll(3000)" in code
    path = folder / f"client-{silent_ms}.py"
    path.write_text(code.replace("poll(3000)", f"poll({silent_ms})"), encoding="utf-8")
    return [sys.executable, "-u", str(path)]


@pytest.mark.parametrize("bench", [{"curve": False}], indirect=True)
def test_the_script_of_the_manual_misses_nothing_and_says_when_it_hears_nothing(
    bench: GatewayBench, tmp_path: Path
) -> None:
    bench.start()
    for seq in (1, 2):
        bench.verdict(f"B{seq}", seq)
    addresses = [bench.address("feed"), bench.address("requests")]
    said: list[str] = []
    with subprocess.Popen([*script(tmp_path, 60_000), *addresses], stdout=subprocess.PIPE, text=True) as client:
        assert client.stdout is not None
        reader = threading.Thread(target=lambda: said.extend(client.stdout or ()))
        reader.start()
        bench.until(lambda: len(said) == 2)
        bench.verdict("B3", 3)
        bench.say("lane.state", LaneState(state="READY"))
        bench.verdict("B3", 4, written=False)
        bench.until(lambda: len(said) == 4)
        client.kill()
        reader.join()
    assert [line.strip() for line in said] == [f"{seq} B{min(seq, 3)} UNKNOWN Timeout" for seq in (1, 2, 3, 4)]
    bench.stop()
    silent = subprocess.run([*script(tmp_path, 10), *addresses], check=True, capture_output=True, text=True)
    assert silent.stdout == "silence: every bag is UNKNOWN\n"


@pytest.mark.parametrize("bench", [{}], indirect=True)
def test_the_library_with_keys_joins_late_and_gets_verdicts_and_previews(bench: GatewayBench, tmp_path: Path) -> None:
    bench.keys.new_server()
    own = bench.allowed("me")
    key_file.write(tmp_path / "me.key_secret", own)
    keys = Keys.load(bench.keys.public_file, tmp_path / "me.key_secret")
    bench.start()
    for seq in range(1, 6):
        bench.verdict(f"B{seq}", seq)
    tap = bench.bus.socket("image-tap", zmq.XPUB, bind=True)
    bench.until(lambda: bool(tap.poll(0)))
    got: list[Any] = []
    with FeedClient(bench.address("feed"), bench.address("requests"), keys=keys, after=0, images=True) as client:
        bench.until(lambda: seqs(drain(client, got)) == [1, 2, 3, 4, 5])
        bench.verdict("B6", 6)
        scanned = bag()
        for slab, arrays in scanned.image_slabs():
            bench.bus.send(tap, "images", slab, arrays)
        bench.until(lambda: any(isinstance(item, Picture) for item in drain(client, got)))
        bench.until(lambda: seqs(drain(client, got))[-1:] == [6])
    assert seqs(got) == [1, 2, 3, 4, 5, 6]
    (picture,) = (item for item in got if isinstance(item, Picture))
    assert (picture.header.bag_id, picture.header.source, picture.header.preview) == (scanned.bag_id, "gateway", True)
    assert picture.image.shape == (4, 2, MAX_ROWS, scanned.columns)
    np.testing.assert_allclose(picture.image, scanned.images, rtol=1e-5)


@pytest.mark.parametrize("bench", [{"feed": "", "requests": "", "karabo": LOCAL}], indirect=True)
def test_karabo_bridge_reads_a_guarded_gateway(bench: GatewayBench) -> None:
    karabo_bridge = pytest.importorskip("karabo_bridge", reason="extra judges: karabo-bridge")
    bench.keys.new_server()
    own = bench.allowed("laboratory")
    bench.start(greeted=False)
    assert bench.service is not None
    (listener,) = bench.service.pictures.listeners
    bench.until(lambda: listener.socket is not None)
    context = zmq.Context()
    for option, value in (
        (zmq.CURVE_SERVERKEY, bench.keys.server().public),
        (zmq.CURVE_PUBLICKEY, own.public),
        (zmq.CURVE_SECRETKEY, own.secret),
    ):
        assert value is not None
        context.setsockopt(option, value)
    client = karabo_bridge.Client(listener.address, timeout=30, context=context)
    read: list[Any] = []
    reader = threading.Thread(target=lambda: read.append(client.next()))
    reader.start()
    bench.until(lambda: bool(bench.service and bench.service.pictures.bridge._waiting))
    bench.verdict("A", 1)
    bench.until(lambda: not reader.is_alive())
    client._socket.close(0)
    context.term()
    data, meta = read[0]
    assert data["lane-1/verdict"]["bag_id"] == "A"
    assert meta["lane-1/verdict"]["timestamp.tid"] == 1
