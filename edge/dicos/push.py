"""Sends DICOS files to another application entity (C-STORE), from a thread of its own: no peer can hold up the gateway.

Not encrypted and not authenticated: for loopback, or a network that is closed.
"""

from __future__ import annotations

import logging
import re
import threading
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from edge.config import Config
from edge.dicos import terms
from edge.dicos.common import DicosError
from edge.dicos.spool import SUFFIX

#: Files that were taken are moved here, below the folder.
SENT = "sent"
#: The folder is looked at so often; after a peer did not answer or refused files, it is left alone for longer, s.
PERIOD_S, RETRY_S = 5.0, 30.0
CONNECT_S, ANSWER_S = 5.0, 30.0
SUCCESS = 0x0000
_PEER = re.compile(r"(?P<title>[^@\s\\]{1,16})@(?P<host>[^@\s:]+):(?P<port>\d{1,5})")


@dataclass(frozen=True)
class Peer:
    """Who is sent to: application entity title, host and TCP port."""

    title: str
    host: str
    port: int

    @classmethod
    def parse(cls, written: str) -> Peer:
        """From ``TITLE@host:port``; :class:`DicosError` on anything else."""
        found = _PEER.fullmatch(written)
        if found is None or not 0 < int(found["port"]) < 1 << 16:
            raise DicosError(f"dicos.push = {written!r}: not an application entity; write TITLE@host:port")
        return cls(found["title"], found["host"], int(found["port"]))


def send(paths: list[Path], peer: Peer, own_title: str) -> tuple[list[Path], str]:
    """Send files; returns those that the peer took, and why others were not. :class:`DicosError` without a peer."""
    try:
        from pydicom.uid import ExplicitVRLittleEndian  # noqa: PLC0415 - only lanes that send need pynetdicom
        from pynetdicom import AE  # noqa: PLC0415
    except ImportError as error:
        raise DicosError("dicos.push needs the package pynetdicom; install darklane[dicos] or empty the key") from error
    entity = AE(ae_title=own_title)
    entity.connection_timeout, entity.acse_timeout = CONNECT_S, ANSWER_S
    entity.dimse_timeout = entity.network_timeout = ANSWER_S
    for sop_class in terms.MODALITY:
        entity.add_requested_context(sop_class, ExplicitVRLittleEndian)
    association = entity.associate(peer.host, peer.port, ae_title=peer.title)
    if not association.is_established:
        raise DicosError(
            f"{peer.title}@{peer.host}:{peer.port}: no association; is it there, does it know {own_title}?"
        )
    taken, refused = [], ""
    try:
        for path in paths:
            try:
                status = association.send_c_store(path).get("Status")
            except (ValueError, RuntimeError, OSError) as error:
                refused = f"{path.name}: {error}"
                continue
            if status == SUCCESS:
                taken.append(path)
            else:
                refused = f"{path.name}: " + ("no answer" if status is None else f"status 0x{status:04X}")
    finally:
        association.release()
    return taken, refused


class Pusher:
    """Sends whatever lies in ``folder``, also what an earlier process left there. Use as a context manager."""

    def __init__(self, folder: Path, peer: Peer, own_title: str, log: logging.Logger | None = None) -> None:
        self.sent = 0
        self.fault = ""
        self._folder = folder
        self._peer = peer
        self._own_title = own_title
        self._log = log or logging.getLogger("gateway")
        self._stop = threading.Event()
        # A daemon: a peer that hangs must not keep the service from ending; what was not sent is sent next time.
        self._thread = threading.Thread(target=self._run, name="dicos-push", daemon=True)

    def __enter__(self) -> Pusher:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(timeout=1.0)

    def round(self) -> None:
        """Send what is there now."""
        paths = sorted(self._folder.glob(f"*{SUFFIX}"))
        if not paths:
            return
        try:
            taken, fault = send(paths, self._peer, self._own_title)
            for path in taken:
                (self._folder / SENT).mkdir(exist_ok=True)
                path.replace(self._folder / SENT / path.name)
            self.sent += len(taken)
        except (DicosError, OSError) as error:
            fault = str(error)
        if fault and fault != self.fault:
            self._log.error("DICOS files are not sent: %s", fault)
        self.fault = fault

    def _run(self) -> None:
        while not self._stop.is_set():
            self.round()
            self._stop.wait(RETRY_S if self.fault else PERIOD_S)


def pusher(config: Config) -> Pusher | None:
    """What the configuration asks for; None when nothing is to be sent."""
    if not config.dicos.enabled or not config.dicos.push:
        return None
    folder = config.device_path(config.dicos.folder)
    return Pusher(folder, Peer.parse(config.dicos.push), config.dicos.ae_title)
