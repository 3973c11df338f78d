"""What the checks inside the container share. Needs nothing but the standard library."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

PREFIX = Path("/opt/darklane")
CLI = (str(PREFIX / "bin/python"), "-m", "edge.commands")
CONFIGURATION = "/etc/darklane/lane.toml"
SERVICES = ("bridge", "verdict", "inference", "retrieval", "readout", "archive", "gateway")
PORT = 7148
METRICS_PORT = 9780
#: A small lane: 64 rows, devices of the emulated scanner. Only the [scanner] and [emulator] tables are the test's.
LANE = f"""
[lane]
state_dir = "/var/lib/darklane"
run_dir = "/run/darklane"
[scanner]
native_rows = 256
[detector]
port = {PORT}
[emulator]
time_scale = 4.0
[metrics]
enabled = true
port = {METRICS_PORT}
"""
EMULATOR = f"""
[Unit]
Description=Emulated scanner of the check
[Service]
User=darklane
WorkingDirectory=/var/lib/darklane
ExecStart={PREFIX}/bin/python -m firmware_bridge.emulator --config {CONFIGURATION} --plan smoke --tray-first \\
  --dev-dir /var/lib/darklane/dev --truth /var/lib/darklane/truth.jsonl
"""
#: Not in a container: kernel settings of the network belong to the host, and there is no udev.
HOST_ONLY = ("sysctl", "udevadm")
PATIENCE_S = 30.0


def run(*command: str, timeout_s: float = PATIENCE_S) -> str:
    """Standard output of a command that must succeed."""
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=timeout_s)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(command)}: exit {done.returncode}: {done.stderr or done.stdout}")
    return done.stdout


def show(unit: str, key: str) -> str:
    """One property of a unit."""
    return run("systemctl", "show", "--value", "-p", key, unit).strip()


def unit(name: str) -> str:
    """Unit of a service."""
    return f"darklane-{name}.service"


def main_pid(name: str) -> int:
    """Process of a service."""
    return int(show(unit(name), "MainPID"))


def until(what: str, condition: Callable[[], bool], patience_s: float = PATIENCE_S) -> float:
    """Seconds until ``condition``; AssertionError when it never comes."""
    started = time.monotonic()
    while not condition():
        if time.monotonic() - started > patience_s:
            raise AssertionError(f"not within {patience_s:.0f} s: {what}")
        time.sleep(0.05)
    return time.monotonic() - started


def check(name: str, body: Callable[[], str]) -> dict[str, object]:
    """Run ``body``, which returns what it saw, or raises; prints one line."""
    try:
        seen, passed = body(), True
    except (AssertionError, OSError, ValueError, subprocess.SubprocessError) as error:
        seen, passed = f"{type(error).__name__}: {error}", False
    sys.stdout.write(f"{'passed' if passed else 'FAILED'}  {name}: {seen}\n")
    sys.stdout.flush()
    return {"name": name, "passed": passed, "seen": seen}


def ready(name: str) -> bool:
    """Whether the service said READY."""
    return show(unit(name), "ActiveState") == "active"


def frames_arrive() -> str:
    """The status of readout, once it says that frames come."""
    rate = re.compile(r"[1-9][0-9.]* frames/s")
    until("frames in the status of readout", lambda: bool(rate.match(show(unit("readout"), "StatusText"))))
    return show(unit("readout"), "StatusText")


def environment() -> None:
    """A Python environment in /opt, as on a box: the packages are those of the source tree's environment."""
    settings = json.loads(Path("/etc/darklane-check.json").read_text(encoding="utf-8"))
    run(sys.executable, "-m", "venv", "--without-pip", str(PREFIX))
    packages = next((PREFIX / "lib").glob("python3*")) / "site-packages"
    lines = [f"import site; site.addsitedir({folder!r})" for folder in settings["packages"]]
    (packages / "darklane-check.pth").write_text("\n".join(lines) + "\n", encoding="utf-8")


def darklane(*command: str, timeout_s: float = PATIENCE_S) -> str:
    """What a command of the installed Darklane says, run as the user of the services."""
    return run("runuser", "-u", "darklane", "--", *CLI, *command, "--config", CONFIGURATION, timeout_s=timeout_s)


def install() -> None:
    """What the how-to says, without what only a whole machine can do; an emulated scanner in place of the devices."""
    said = run(*CLI, "install", "--root", "/").splitlines()
    Path(CONFIGURATION).write_text(LANE, encoding="utf-8")
    Path("/run/systemd/system/emulated-scanner.service").write_text(EMULATOR, encoding="utf-8")
    for line in said[next(i for i, text in enumerate(said) if text.startswith("next")) + 1 :]:
        command = line.strip()
        if command.startswith(HOST_ONLY):
            continue
        if command.startswith("systemctl enable"):
            run("systemctl", "start", "emulated-scanner.service")
            until("the emulated scanner's devices", lambda: Path("/var/lib/darklane/dev/belt").exists())
            darklane("calibrate", "--no-report", timeout_s=4 * PATIENCE_S)
        run(*command.split(), timeout_s=4 * PATIENCE_S)


def policy(thread: Path) -> tuple[int, int]:
    """Scheduling policy and real-time priority of a thread (proc(5), stat fields 41 and 40)."""
    fields = (thread / "stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
    return int(fields[38]), int(fields[37])
