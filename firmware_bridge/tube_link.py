"""Questions to the x-ray generator and their checked answers; nothing here decides about the beam."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

from firmware_bridge import tube_packets as wire
from firmware_bridge.serial_link import SerialLink

BAUD: Final = 9600
#: A question is sent this often before the generator counts as dead, with this long to answer each time.
ATTEMPTS: Final = 3
ANSWER_S: Final = 1.0
#: No number in any answer of the subset is larger.
MAX_NUMBER: Final = 1e7


class TubeError(RuntimeError):
    """The generator does not answer as it should, or does not do what it was told; the text says what to do."""


class TubeRefused(TubeError):  # noqa: N818 - a refusal is not a fault
    """A command was not carried out because it is unsafe now; the text is the reason."""


class TubeLink:
    """One generator at ``path``. Every call is bounded in time: ATTEMPTS times ANSWER_S at most."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._link = SerialLink(path, "x-ray generator", baud=BAUD)

    def close(self) -> None:
        """Give the port back."""
        self._link.close()

    def bits(self, command: str, number: int) -> tuple[bool, ...]:
        """The ``number`` flags that ``command`` asks for."""
        args = self.ask(command)
        if len(args) != number or not set(args) <= {"0", "1"}:
            raise self._unreadable(command, args)
        return tuple(arg == "1" for arg in args)

    def numbers(self, command: str, number: int) -> list[float]:
        """The ``number`` numbers that ``command`` asks for, none of them negative."""
        args = self.ask(command)
        try:
            values = [float(arg) for arg in args]
        except ValueError as error:
            raise self._unreadable(command, args) from error
        if len(values) != number or not all(0 <= value < MAX_NUMBER for value in values):
            raise self._unreadable(command, args)
        return values

    def set(self, command: str, *args: int, attempts: int = ATTEMPTS) -> None:
        """Have ``command`` carried out; :class:`TubeRefused` with the generator's answer when it will not."""
        answer = self.ask(command, *args, attempts=attempts)
        if answer != (wire.DONE,):
            sent = ",".join(map(str, (command, *args)))
            raise TubeRefused(f"x-ray generator at {self.path} refused command {sent}: it answered {','.join(answer)}")

    def ask(self, command: str, *args: int, attempts: int = ATTEMPTS) -> tuple[str, ...]:
        """Send ``command`` until it is answered. Answers repeat their command: late ones of others are skipped."""
        corrupt = 0
        for _ in range(attempts):
            self._link.read()
            decoder = wire.Decoder()
            self._link.write(wire.encode(command, *args))
            deadline = time.monotonic() + ANSWER_S
            while (left := deadline - time.monotonic()) > 0:
                for message in decoder.feed(self._link.read(left)):
                    if message.command == command:
                        return message.args
            corrupt += decoder.corrupt
        what = f"{corrupt} unreadable answers" if corrupt else "no answer"
        raise self.error(f"{what} to command {command} in {attempts} attempts; is it powered, and is this its port?")

    def error(self, text: str) -> TubeError:
        """An error that names the port."""
        return TubeError(f"x-ray generator at {self.path}: {text}")

    def _unreadable(self, command: str, args: tuple[str, ...]) -> TubeError:
        return self.error(f"answered {','.join(args)!r:.60} to command {command}; is this the right device?")
