"""Runs inside the booted container as root: installs the lane as the how-to says, and looks at what came of it."""

from __future__ import annotations

import json
import os
import pwd
import signal
import socket
import subprocess
import time
from pathlib import Path

from tests.systemd.box import (
    CLI,
    PATIENCE_S,
    PORT,
    SERVICES,
    check,
    darklane,
    environment,
    frames_arrive,
    install,
    main_pid,
    policy,
    ready,
    run,
    show,
    unit,
    until,
)
from tests.systemd.metrics import metrics


def installed() -> str:
    """Installed and started as the how-to says."""
    started = time.monotonic()
    install()
    return f"darklane.target is {show('darklane.target', 'ActiveState')} after {time.monotonic() - started:.1f} s"


def all_ready() -> str:
    """READY from every service, in the order of the table."""
    for name in SERVICES:
        until(f"{name} READY", lambda name=name: ready(name))  # type: ignore[misc]
    at = [int(show(unit(name), "ActiveEnterTimestampMonotonic")) for name in SERVICES]
    assert at == sorted(at), f"not in order: {at}"
    restarts = {name: show(unit(name), "NRestarts") for name in SERVICES}
    assert set(restarts.values()) == {"0"}, f"restarted: {restarts}"
    return f"{', '.join(SERVICES)}; no restart"


def hardened() -> str:
    """Services run hardened, as user darklane."""
    uid = pwd.getpwnam("darklane").pw_uid
    for name in SERVICES:
        text = Path(f"/proc/{main_pid(name)}/status").read_text(encoding="ascii")
        fields = dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)
        assert set(fields["Uid"].split()) == {str(uid)}, f"{name}: Uid {fields['Uid']}"
        seen = {key: fields[key].strip() for key in ("NoNewPrivs", "Seccomp", "CapBnd")}
        assert seen == {"NoNewPrivs": "1", "Seccomp": "2", "CapBnd": "0" * 16}, f"{name}: {seen}"
    return f"uid {uid}, no capabilities, no new privileges, seccomp filter"


def scheduling() -> str:
    """Scheduling of readout."""
    pid = main_pid("readout")
    tasks = {int(task.name): policy(task) for task in Path(f"/proc/{pid}/task").iterdir()}
    assert set(tasks.values()) == {(os.SCHED_FIFO, 20)}, f"policies and priorities of the threads: {tasks}"
    journal = run("journalctl", "--no-pager", "-u", unit("readout"))
    assert "refused" not in journal, journal
    cpus = os.sched_getaffinity(pid)
    assert 0 not in cpus, f"runs on CPUs {cpus}"
    other = {name: policy(Path(f"/proc/{main_pid(name)}"))[0] for name in SERVICES if name != "readout"}
    assert set(other.values()) == {os.SCHED_OTHER}, f"others: {other}"
    return f"{len(tasks)} threads at FIFO 20, CPUs {sorted(cpus)}; all other services normal"


def own_socket() -> str:
    """Readout has the socket that systemd opened, with its large buffer."""
    pid = main_pid("readout")
    assert "LISTEN_FDNAMES=readout" in Path(f"/proc/{pid}/environ").read_text(encoding="utf-8").split("\0")
    sockets = run("ss", "-uanmp", "sport", "=", f":{PORT}")
    assert f"pid={pid}," in sockets, sockets
    assert "pid=1," in sockets, sockets
    size = int(sockets.split("rb", 1)[1].split(",")[0])
    assert size >= 2 * (64 << 20), f"receive buffer {size}"
    table = run("nsenter", "-t", str(pid), "-m", "cat", "/proc/self/net/udp")
    assert f":{PORT:04X} " in table, "readout cannot see what the kernel drops"
    return f"port {PORT}, shared with PID 1, {size / 2 / 2**20:.0f} MiB; the kernel's count of drops can be read"


def frames() -> str:
    """Frames of the emulated scanner arrive."""
    run("systemctl", "is-active", "emulated-scanner.service")
    return frames_arrive()


def bags() -> str:
    """Bags are scanned, judged and archived by the hardened services."""
    for command in ("detector-configure", "detector-start", "beam-on", "belt-start"):
        darklane("device", command)
    until("two verdicts", lambda: len(verdicts()) == 2, 4 * PATIENCE_S)
    files = Path("/var/lib/darklane/archive")
    until("two archive files", lambda: len(list(files.rglob("*.h5"))) == 2)
    found = verdicts()
    assert {verdict["reason"] for verdict in found} == {None}, found
    return ", ".join(f"{verdict['bag_tag']} {verdict['decision']}" for verdict in found) + "; two archive files"


def verdicts() -> list[dict[str, str | None]]:
    """The final verdicts of the journal."""
    found = [json.loads(line) for line in darklane("verdicts", "--json").splitlines()]
    return [verdict for verdict in found if verdict["final"]]


def doctor() -> str:
    """What the doctor says of the running lane; the clock and the kernel's settings are those of the host."""
    said = subprocess.run([*CLI, "doctor", "--json"], check=False, capture_output=True, text=True, timeout=PATIENCE_S)
    findings = json.loads(said.stdout)["findings"]
    mine = [f for f in findings if f["section"] in ("configuration", "devices", "bridge", "disk", "calibration")]
    mine += [f for f in findings if f["name"] == "readout priority"]
    bad = [f for f in mine if f["state"] != "green"]
    assert not bad, f"not green: {bad}"
    belt = next(f["says"] for f in mine if (f["section"], f["name"]) == ("bridge", "belt"))
    return f"{len(mine)} lines green; belt controller: {belt}"


def watchdog() -> str:
    """A hanging service is ended by its watchdog and comes back."""
    said = []
    for name in ("verdict", "readout"):
        before = main_pid(name)
        os.kill(before, signal.SIGSTOP)
        killed_s = until(f"{name} ended", lambda name=name, before=before: main_pid(name) != before)  # type: ignore[misc]
        back_s = until(f"{name} READY again", lambda name=name: ready(name))  # type: ignore[misc]
        journal = run("journalctl", "--no-pager", "-u", unit(name))
        assert "Watchdog timeout" in journal, journal[-500:]
        assert "Fatal Python error: Aborted" in journal, "no traceback in the journal"
        said.append(f"{name} ended {killed_s:.1f} s after SIGSTOP, READY {back_s:.1f} s later")
    return "; ".join(said) + "; the journal says where they stood"


def killed() -> str:
    """A service that is killed again and again is started again and again."""
    for _round in range(8):
        before = main_pid("archive")
        os.kill(before, signal.SIGKILL)
        until("archive back", lambda before=before: main_pid("archive") not in (0, before))  # type: ignore[misc]
    until("archive READY", lambda: ready("archive"))
    return f"8 kills, NRestarts {show(unit('archive'), 'NRestarts')}, {show(unit('archive'), 'ActiveState')}"


def socket_kept() -> str:
    """Readout keeps its socket when it is killed."""
    inode = Path(f"/proc/{main_pid('readout')}/fd/3").stat().st_ino
    before = main_pid("readout")
    os.kill(before, signal.SIGKILL)
    until("readout READY again", lambda: main_pid("readout") not in (0, before) and ready("readout"))
    assert Path(f"/proc/{main_pid('readout')}/fd/3").stat().st_ino == inode, "another socket"
    return f"same socket (inode {inode}) after a kill; {frames_arrive()}"


def stops() -> str:
    """The target stops everything."""
    run("systemctl", "stop", "darklane.target", "emulated-scanner.service")
    for name in SERVICES:
        until(f"{name} stopped", lambda name=name: show(unit(name), "ActiveState") == "inactive")  # type: ignore[misc]
    assert show("darklane-readout.socket", "ActiveState") == "inactive"
    results = {name: show(unit(name), "Result") for name in SERVICES}
    assert set(results.values()) == {"success"}, f"{results}"
    return f"{len(SERVICES)} services and the socket are inactive, none had to be killed"


def activation() -> str:
    """One packet starts readout (socket activation)."""
    run("systemctl", "start", "darklane-readout.socket")
    assert show(unit("readout"), "ActiveState") == "inactive"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(b"?", ("127.0.0.1", PORT))
    started_s = until("readout READY", lambda: ready("readout"))
    run("systemctl", "stop", "darklane-readout.socket", unit("readout"))
    return f"READY {started_s:.1f} s after the packet"


def removed() -> str:
    """Uninstall leaves nothing of it."""
    run("systemctl", "disable", "--now", "darklane.target")
    run(*CLI, "uninstall", "--root", "/")
    left = [str(path) for path in Path("/usr/local/lib").rglob("*darklane*")]
    assert left == [], f"left: {left}"
    return f"only {sorted(str(path) for path in Path('/etc/darklane').iterdir())} stays: it was changed"


CHECKS = (
    ("installed, calibrated and started as the how-to says", installed),
    ("READY from every service, in the order of the table", all_ready),
    ("services run hardened, as user darklane", hardened),
    ("scheduling of readout", scheduling),
    ("readout has the socket that systemd opened, with its large buffer", own_socket),
    ("frames of the emulated scanner arrive", frames),
    ("bags are scanned, judged and archived by the hardened services", bags),
    ("the metrics page has every service", lambda: metrics(len(verdicts()))),
    ("the doctor finds the running lane in order", doctor),
    ("a hanging service is ended by its watchdog and comes back", watchdog),
    ("a service that is killed again and again is started again and again", killed),
    ("readout keeps its socket when it is killed", socket_kept),
    ("the target stops everything", stops),
    ("one packet starts readout (socket activation)", activation),
    ("uninstall leaves nothing of it", removed),
)


def main() -> None:
    """All checks in their order; the result goes to a file that the host reads."""
    run("ip", "link", "set", "lo", "up")
    environment()
    results = []
    for name, body in CHECKS:
        results.append(check(name, body))
        if not results[0]["passed"]:
            break  # without a lane there is nothing to look at
    journal = run("journalctl", "--no-pager", "-o", "short-monotonic")
    Path("/var/lib/darklane-check-journal.txt").write_text(journal, encoding="utf-8")
    Path("/var/lib/darklane-check.json").write_text(json.dumps(results), encoding="utf-8")


if __name__ == "__main__":
    main()
