"""A TCP port on loopback that answers as told: the detector's command port for tests."""

import socket
import threading
from collections.abc import Callable
from types import TracebackType

Change = Callable[[bytes], bytes]


class Port:
    """Hands what it hears to ``answer``, one connection at a time. Context manager.

    ``hang_up_on``: closes the connection when it hears this. ``drip``: sends this again and again after an answer
    without a line end, until the other side goes.
    """

    def __init__(self, answer: Change, connected: Callable[[], None] = lambda: None) -> None:
        self.hang_up_on = b"\0"
        self.drip = b""
        self._answer, self._connected = answer, connected
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve)

    def _serve(self) -> None:
        while not self._stop.is_set():
            connection, _ = self._server.accept()
            with connection:
                self._connected()
                try:
                    self._talk(connection)
                except OSError:
                    continue

    def _talk(self, connection: socket.socket) -> None:
        while (data := connection.recv(4096)) and self.hang_up_on not in data:
            answer = self._answer(data)
            connection.sendall(answer)
            while self.drip and answer and b"\n" not in answer and not self._stop.wait(0.01):
                connection.sendall(self.drip)

    def __enter__(self) -> "Port":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        socket.create_connection(("127.0.0.1", self.port)).close()
        self._thread.join()
        self._server.close()
