"""A thread for one connection, so that a device that does not answer holds up nobody else."""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable

from edge.bridge.jobs import Broken, Handler, Job, Note
from edge.bridge.link import DeviceLink

#: A thread that does not end in this time hangs in its device and is left behind, s.
JOIN_S = 3.0


class Worker:
    """Runs a :class:`DeviceLink`. ``post`` gets its notes, in the worker's thread."""

    def __init__(self, handler: Handler, post: Callable[[Note], None]) -> None:
        self.link = DeviceLink(handler)
        self._post = post
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._ends = False
        #: Set when the first attempt to open the device is over.
        self.tried = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"device-{handler.name}", daemon=True)

    @property
    def name(self) -> str:
        """Name of the connection."""
        return self.link.handler.name

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def submit(self, job: Job) -> None:
        """Carry out ``job``."""
        self.link.submit(job)
        os.eventfd_write(self._wake, 1)

    def hint(self, gone: str | None) -> None:
        """See :meth:`DeviceLink.hint`."""
        self.link.hint(gone)
        os.eventfd_write(self._wake, 1)

    def taken(self) -> None:
        """See :meth:`DeviceLink.taken`."""
        self.link.taken()
        os.eventfd_write(self._wake, 1)

    def stop(self) -> bool:
        """End the thread and give the device back; False when it hangs in its device."""
        self._ends = True
        os.eventfd_write(self._wake, 1)
        if self._thread.ident is not None:
            self._thread.join(JOIN_S)
            if self._thread.is_alive():
                return False
        os.close(self._wake)
        return True

    def _run(self) -> None:
        try:
            while not self._ends:
                for note in self.link.step():
                    self._post(note)
                self.tried.set()
                self._wait()
        except Exception as error:
            # A fault of ours must not end in a device that silently nobody looks after.
            self._post(Broken(self.name, error))
            raise
        finally:
            self.tried.set()
            self.link.close()

    def _wait(self) -> None:
        fd = self.link.watched_fd
        ready, _, _ = select.select([self._wake, fd] if fd >= 0 else [self._wake], [], [], self.link.patience_s)
        if self._wake in ready:
            os.eventfd_read(self._wake)
