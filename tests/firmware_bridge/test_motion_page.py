"""docs/reference/motion.md says what the code does."""

import re
from pathlib import Path

from firmware_bridge.emulator.aries_device import AriesDevice
from firmware_bridge.emulator.esp_device import EspDevice
from firmware_bridge.motion import aries_errors, esp_errors

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "motion.md").read_text(encoding="utf-8")


def rows(mark: str) -> dict[int, tuple[str, str]]:
    """Rows of the error tables whose number is written after ``mark``, in the section where they are."""
    return {int(n): (m, r) for n, m, r in re.findall(rf"^\| {mark}(\d+) \| (.*?) \| (.*?) \|$", PAGE, re.MULTILINE)}


def test_error_tables() -> None:
    assert rows("x") == esp_errors.AXIS
    assert rows("W ") == aries_errors.WARNINGS
    general = rows("")
    assert {n: general[n] for n in aries_errors.ERRORS} == aries_errors.ERRORS
    esp, _, _ = PAGE.partition("## Kohzu ARIES")
    assert [(m, r) for _, m, r in re.findall(r"^\| (\d+) \| (.*?) \| (.*?) \|$", esp, re.MULTILINE)] == [
        *esp_errors.GENERAL.values()
    ]


def test_emulated_commands() -> None:
    (esp,) = re.findall(r"^- ESP, up to three axes: (.*?)\. Units", PAGE, re.MULTILINE)
    device = EspDevice()
    for name in re.sub(r"\(.*?\)", "", esp).split():
        device.step(f"1{name}\r".encode(), 0.0)
        assert b"6\r\n" not in device.step(b"TE?\r", 0.0), name
    (aries,) = re.findall(r"^- ARIES: (.*?), answers", PAGE, re.MULTILINE)
    for name in aries.split():
        answer = AriesDevice().step(f"\x02{name}\r\n".encode(), 0.0)
        assert answer != f"E\t{name}\t4\r\n".encode(), name
