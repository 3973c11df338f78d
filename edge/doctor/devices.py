"""Are the serial devices of the configuration there, and may the services open them?"""

from __future__ import annotations

import stat
from pathlib import Path

from edge.config import Config
from edge.doctor.accounts import Account
from edge.doctor.finding import Finding

SECTION = "devices"


def ports(config: Config) -> dict[str, str]:
    """Name and port of every device: a path, or ``tcp://host:port``."""
    found = {"belt": str(config.device_path(config.belt.port)), "tube": str(config.device_path(config.tube.port))}
    for name, controller in config.motion.controllers.items():
        remote = controller.port.startswith("tcp://")
        found[name] = controller.port if remote else str(config.device_path(Path(controller.port)))
    return found


def check(name: str, port: str, account: Account, *, emulated: bool) -> Finding:
    """One device. ``emulated``: its port exists only while the emulated scanner runs."""
    if port.startswith("tcp://"):
        return Finding(SECTION, name, "grey", f"{port} (the bridge knows whether it answers)")
    path = Path(port)
    try:
        status = path.stat()
    except FileNotFoundError:
        return _absent(name, port, emulated)
    except OSError as error:
        return Finding(SECTION, name, "red", f"{port}: {error.strerror}", f"run as root, or as {account.name}")
    if not stat.S_ISCHR(status.st_mode):
        return Finding(SECTION, name, "red", f"{port} is no serial device", "correct its port in the configuration")
    if not account.may(status, write=True):
        return Finding(
            SECTION,
            name,
            "red",
            f"{port}: user {account.name} may not open it (mode {stat.S_IMODE(status.st_mode):04o})",
            "install the udev rules (darklane install), then: udevadm control --reload && udevadm trigger",
        )
    return Finding(SECTION, name, "green", f"{port} -> {path.resolve()}" if path.is_symlink() else port)


def _absent(name: str, port: str, emulated: bool) -> Finding:
    if emulated:
        return Finding(SECTION, name, "grey", f"{port} is not there: the emulated scanner does not run")
    do = "plug it in and switch it on; then 'ls -l /dev/darklane' and 'dmesg | tail'; or correct its port"
    return Finding(SECTION, name, "red", f"{port} is not there", do)
