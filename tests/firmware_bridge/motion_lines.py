"""Emulated motion controllers on a line, served by a thread, for the tests of drivers."""

from __future__ import annotations

import selectors
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from firmware_bridge.emulator.pty_port import PtyPort


class Device(Protocol):
    def step(self, received: bytes, now_s: float) -> bytes: ...


@contextmanager
def on_pty(device: Device, link: Path) -> Iterator[Path]:
    """``device`` on a pseudo-terminal linked as ``link``."""
    port = PtyPort(link)
    stop = threading.Event()

    def serve() -> None:
        while not stop.wait(0.001):
            port.write(device.step(port.read(), time.monotonic()))

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield link
    finally:
        stop.set()
        thread.join()
        port.close()


@contextmanager
def on_tcp(device: Device) -> Iterator[tuple[str, int]]:
    """``device`` on a TCP port of this machine: host and port number. One client at a time, as many as come."""
    listener = socket.create_server(("127.0.0.1", 0))
    stop = threading.Event()

    def serve() -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(listener, selectors.EVENT_READ)
            client: socket.socket | None = None
            while not stop.is_set():
                received = b""
                for key, _ in selector.select(0.001):
                    if key.fileobj is listener:
                        if client is not None:
                            selector.unregister(client)
                            client.close()
                        client = listener.accept()[0]
                        selector.register(client, selectors.EVENT_READ)
                    elif client is not None:
                        received = client.recv(4096)
                        if not received:
                            selector.unregister(client)
                            client.close()
                            client = None
                sent = device.step(received, time.monotonic())
                if client is not None and sent:
                    client.sendall(sent)
            if client is not None:
                client.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listener.getsockname()[:2]
    finally:
        stop.set()
        thread.join()
        listener.close()
