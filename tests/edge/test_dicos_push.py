"""Files are pushed to pynetdicom's own service class provider, in a thread; a peer that is away is tried again."""

from __future__ import annotations

import gc
import logging
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge.config import Config
from edge.dicos import terms
from edge.dicos.common import DicosError
from edge.dicos.push import Peer, Pusher, pusher, send
from edge.dicos.spool import export
from edge.dicos.validate import problems
from tests.edge.archive_bags import bag, config
from tests.edge.dicos_bags import archived

pynetdicom = pytest.importorskip("pynetdicom", reason="extra dicos: pynetdicom")
sop_classes = pytest.importorskip("pynetdicom.sop_class")
StorageServiceClass = pytest.importorskip("pynetdicom.service_class").StorageServiceClass

#: A peer on this machine that needs longer does not come, s.
PATIENCE_S = 60.0


class Archive:
    """A DICOS store of others: what it got, and the status that it answers with."""

    def __init__(self) -> None:
        self.got: list[str] = []
        self.status = 0x0000
        entity = pynetdicom.AE(ae_title="STORE")
        for number, sop_class in enumerate(terms.MODALITY):
            if sop_class not in sop_classes._SERVICE_CLASSES:
                # Its own tables end before the classes of security screening.
                sop_classes.register_uid(sop_class, f"Dicos{number}", StorageServiceClass)
            entity.add_supported_context(sop_class)
        handlers = [(pynetdicom.evt.EVT_C_STORE, self._store)]
        self.server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
        self.peer = Peer("STORE", "127.0.0.1", self.server.server_address[1])

    def _store(self, event: Any) -> int:
        got = event.dataset
        got.file_meta = event.file_meta
        if self.status == 0:
            assert problems(got) == []
            self.got.append(str(got.SOPInstanceUID))
        return self.status


@pytest.fixture
def store() -> Iterator[Archive]:
    made = Archive()
    yield made
    made.server.shutdown()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    export(archived(tmp_path, bag(rows=16, columns=48).verdict(seq=2)), tmp_path / "dicos")
    return tmp_path / "dicos"


def test_files_are_sent_and_moved_aside(store: Archive, folder: Path) -> None:
    sender = Pusher(folder, store.peer, "DARKLANE")
    sender.round()
    assert (sender.sent, sender.fault) == (3, "")
    assert len(set(store.got)) == 3
    assert len(list((folder / "sent").iterdir())) == 3
    assert not list(folder.glob("*.dcs"))
    sender.round()
    assert sender.sent == 3


def test_what_the_peer_refuses_stays_and_is_tried_again(
    store: Archive, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sender = Pusher(folder, store.peer, "DARKLANE", logging.getLogger("test"))
    store.status = 0xA700
    sender.round()
    assert sender.sent == 0
    assert "status 0xA700" in sender.fault
    assert "status 0xA700" in caplog.text
    store.status = 0x0000
    sender.round()
    assert (sender.sent, sender.fault) == (3, "")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # pynetdicom drops an open socket
def test_a_peer_that_is_not_there_is_named(folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        peer = Peer("STORE", "127.0.0.1", taken.getsockname()[1])
        with pytest.raises(DicosError, match="no association"):
            send(sorted(folder.glob("*.dcs")), peer, "DARKLANE")
        sender = Pusher(folder, peer, "DARKLANE")
        sender.round()
        assert "STORE@127.0.0.1" in sender.fault
        assert len(list(folder.glob("*.dcs"))) == 3
    gc.collect()


def test_the_thread_sends_what_an_earlier_process_left(store: Archive, folder: Path) -> None:
    with Pusher(folder, store.peer, "DARKLANE") as sender:
        until = time.monotonic() + PATIENCE_S
        while sender.sent < 3 and time.monotonic() < until:
            sender._thread.join(0.01)
    assert sender.sent == 3
    assert not sender._thread.is_alive()


def test_a_peer_is_written_as_title_host_and_port() -> None:
    assert Peer.parse("PACS@store.example:11112") == Peer("PACS", "store.example", 11112)
    for wrong in ("PACS", "PACS@host", "P@h:0", "P@h:70000", "TOO_LONG_A_TITLE_X@h:1"):
        with pytest.raises(DicosError, match=r"TITLE@host:port"):
            Peer.parse(wrong)


def test_the_configuration_says_whether_and_where(tmp_path: Path) -> None:
    assert pusher(config(tmp_path)) is None
    assert pusher(config(tmp_path, dicos={"enabled": True})) is None
    made = pusher(config(tmp_path, dicos={"enabled": True, "push": "PACS@h:104"}))
    assert made is not None
    assert made._folder == tmp_path / "dicos"
    with pytest.raises(ValueError, match="push"):
        Config.model_validate({"dicos": {"push": "nobody"}})
