"""``make systemd-test``: boots this machine's own systemd in a container and runs the lane as an installed box would.

The container's file system is this machine's root with a layer in memory above it (overlayfs), seen only by this
process and its children: nothing that happens inside is written to the disk. Its network is its own. Needs root.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
#: What the container boots into, instead of the services of the machine it is made of.
#: (Not named darklane-*: what all services of the lane share would hold for it too.)
TARGET = "lane-check.target"
#: Where the interpreter of the virtual environment is seen inside: services cannot see /root or /home.
PYTHON_BASE = "/opt/darklane-python"
#: Where the checks say what they see, inside.
LOG = "/var/lib/darklane-check.log"
UNITS = {
    TARGET: """[Unit]
Description=Check of the installed lane
Requires=lane-check.service basic.target
After=basic.target
""",
    "lane-check.service": f"""[Unit]
Description=Check of the installed lane
After=basic.target
[Service]
Type=oneshot
StandardOutput=append:{LOG}
StandardError=append:{LOG}
WorkingDirectory={REPOSITORY}
ExecStart={PYTHON_BASE}/bin/python3 -m tests.systemd.inside
ExecStopPost=/usr/bin/systemctl poweroff --force
""",
}
NEEDED = {"systemd-nspawn": "systemd-container", "systemctl": "systemd", "unshare": "util-linux"}
CLONE_NEWNS = 0x00020000
MS_REC_PRIVATE = 0x4000 | 0x40000


def missing() -> str:
    """Why it cannot run here; empty when it can."""
    absent = [package for command, package in NEEDED.items() if shutil.which(command) is None]
    if absent:
        return f"please install these Debian packages first: {' '.join(absent)}"
    if os.geteuid() != 0:
        return "systemd-nspawn needs root: run `sudo make systemd-test`"
    if REPOSITORY.is_relative_to("/tmp") or REPOSITORY.is_relative_to("/run"):
        return f"{REPOSITORY} cannot be seen inside, where /tmp and /run are empty: run it in a clone elsewhere"
    return ""


def own_mounts() -> None:
    """Give this process its own table of mounts, so that the layer goes away with it."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS) or libc.mount(b"none", b"/", None, MS_REC_PRIVATE, None):
        raise OSError(ctypes.get_errno(), f"cannot have mounts of my own: {os.strerror(ctypes.get_errno())}")


def layered_root(work: Path) -> Path:
    """The machine's root with an empty layer in memory above it."""
    work.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(work)], check=True)
    for name in ("upper", "work", "root"):
        (work / name).mkdir()
    options = f"lowerdir=/,upperdir={work / 'upper'},workdir={work / 'work'}"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, str(work / "root")], check=True)
    return work / "root"


def lend_python(root: Path) -> None:
    """Make the interpreter's own shared library the one that is found inside, where its folder cannot be seen."""
    name = sysconfig.get_config_var("INSTSONAME")
    library = Path(sys.base_prefix) / "lib" / str(name)
    if library.suffix != ".a" and library.is_file():
        # Over the distribution's file of the same name, if there is one: that may be another release.
        shutil.copyfile(library, root / "usr/lib" / (sysconfig.get_config_var("MULTIARCH") or "") / str(name))
        subprocess.run(["ldconfig", "-r", str(root)], check=True)


def boot(root: Path, timeout_s: float) -> int:
    """Boot the container until it powers itself off; prints what the checks say. Returns its exit code."""
    lend_python(root)
    for name, text in UNITS.items():
        (root / "etc/systemd/system" / name).write_text(text, encoding="utf-8")
    settings = root / "etc/darklane-check.json"
    settings.write_text(
        json.dumps({"repository": str(REPOSITORY), "packages": [p for p in sys.path if p.endswith("site-packages")]}),
        encoding="utf-8",
    )
    command = ["systemd-nspawn", "-D", str(root), "--register=no", "--keep-unit", "-M", "darklane-check"]
    command += ["--private-network", "--link-journal=no", f"--bind-ro={sys.base_prefix}:{PYTHON_BASE}", "--boot"]
    command += [f"systemd.unit={TARGET}"]
    log = root / LOG.lstrip("/")
    log.touch()
    deadline = time.monotonic() + timeout_s
    with (root / "console.log").open("wb") as console, log.open(encoding="utf-8") as said:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=console, stderr=console)
        try:
            while process.poll() is None:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"the container did not end within {timeout_s:.0f} s")
                time.sleep(0.2)
                sys.stdout.write(said.read())
                sys.stdout.flush()
            sys.stdout.write(said.read())
        finally:
            # The first SIGTERM asks the container to power itself off.
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    return process.returncode


def main() -> int:
    """Boot, print what was checked; 0 when all of it passed, 1 when not, 2 when nothing could be run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--timeout", type=float, default=600.0, help="seconds for everything")
    arguments = parser.parse_args()
    if reason := missing():
        sys.stderr.write(reason + "\n")
        return 2
    own_mounts()
    root = layered_root(Path("/run/darklane-check"))
    started = time.monotonic()
    try:
        code = boot(root, arguments.timeout)
    except TimeoutError as error:
        code, reason = -1, str(error)
    keep = REPOSITORY / "build/systemd-test"
    keep.mkdir(parents=True, exist_ok=True)
    for name in ("console.log", "var/lib/darklane-check-journal.txt"):
        if (root / name).is_file():
            shutil.copyfile(root / name, keep / Path(name).name)
    result = root / "var/lib/darklane-check.json"
    if not result.is_file():
        sys.stderr.write(f"the container ended (code {code}) before its checks did; see {keep}/console.log {reason}\n")
        return 2
    checks = json.loads(result.read_text(encoding="utf-8"))
    failed = [check["name"] for check in checks if not check["passed"]]
    took_s = time.monotonic() - started
    sys.stdout.write(f"{len(checks)} checks, {len(failed)} failed, {took_s:.0f} s with booting; journal: {keep}\n")
    return 1 if failed or not checks else 0


if __name__ == "__main__":
    sys.exit(main())
