"""The doctor's checks, each on what it is told; then the whole page on this machine."""

from __future__ import annotations

import json
import os
import pty
import tempfile
import threading
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
import zmq
from typer.testing import CliRunner

from edge import wire
from edge.bus import Bus
from edge.commands import app
from edge.commands import doctor as command
from edge.config import Config
from edge.doctor import (
    bridge,
    buffers,
    calibration,
    clock,
    compute,
    configuration,
    devices,
    disk,
    examination,
    scheduling,
    usb,
)
from edge.doctor.accounts import Account, service_account
from edge.doctor.clock import Clock
from edge.doctor.compute import Compute
from edge.doctor.disk import Disk
from edge.doctor.finding import Finding
from edge.messages import CommandReply, DeviceCommand, DeviceState
from firmware_bridge.serial_link import LinkError

NOBODY = Account("nobody", 65534, frozenset({65534}))
ROOT = Account("root", 0, frozenset({0}))


def states(findings: list[Finding]) -> list[str]:
    return [finding.state for finding in findings]


@pytest.fixture
def run_dir() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="dl-") as folder:
        yield Path(folder)


# --- devices


def test_a_port_that_can_be_opened_is_green(tmp_path: Path) -> None:
    leader, follower = pty.openpty()
    try:
        link = tmp_path / "belt"
        link.symlink_to(os.ttyname(follower))
        found = devices.check("belt", str(link), ROOT, emulated=False)
        assert (found.state, found.says) == ("green", f"{link} -> {os.ttyname(follower)}")
        Path(os.ttyname(follower)).chmod(0o600)
        refused = devices.check("belt", str(link), NOBODY, emulated=False)
        assert refused.state == "red"
        assert "user nobody may not open it (mode 0600)" in refused.says
        assert "udev" in refused.do
    finally:
        os.close(leader)
        os.close(follower)


def test_ports_that_are_not_there_or_not_devices(tmp_path: Path) -> None:
    absent = devices.check("tube", str(tmp_path / "tube"), ROOT, emulated=False)
    assert absent.state == "red"
    assert "plug it in" in absent.do
    assert devices.check("tube", str(tmp_path / "tube"), ROOT, emulated=True).state == "grey"
    assert devices.check("aries", "tcp://10.0.0.7:12321", ROOT, emulated=False).state == "grey"
    (tmp_path / "file").touch()
    assert "no serial device" in devices.check("belt", str(tmp_path / "file"), ROOT, emulated=False).says


def test_every_device_of_the_configuration_is_looked_at() -> None:
    assert set(devices.ports(Config())) == {"belt", "tube", "esp-1", "esp-2", "aries"}


def test_rights_are_those_of_owner_group_and_others(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    file.chmod(0o640)
    status = file.stat()
    assert Account("owner", status.st_uid, frozenset()).may(status, write=True)
    group = Account("member", status.st_uid + 1, frozenset({status.st_gid}))
    assert group.may(status, write=False)
    assert not group.may(status, write=True)
    assert not Account("other", status.st_uid + 1, frozenset({status.st_gid + 1})).may(status, write=False)
    assert service_account().name


def test_a_controller_found_by_its_usb_ids() -> None:
    class Ports:
        def __init__(self, found: str) -> None:
            self.found = found

        def port(self) -> Path:
            if not self.found:
                raise LinkError("USB 1209:0d1a: no such device")
            return Path(self.found)

    assert usb.check(Ports("/dev/ttyACM3")) == (None, "/dev/ttyACM3")
    lost, port = usb.check(Ports(""))
    assert lost is not None
    assert (lost.state, lost.says, port) == ("red", "USB 1209:0d1a: no such device", "")


# --- bridge


def test_what_the_bridge_says_of_the_devices() -> None:
    found = bridge.check(
        (
            DeviceState(device="belt", present=True, facts={"found": "firmware 2.0"}),
            DeviceState(device="tube", present=True, state="fault", detail="arc", facts={"firmware": "1.4"}),
            DeviceState(device="m1_x", present=False, state="lost", detail="no answer"),
        )
    )
    assert states(found) == ["green", "red", "red"]
    assert [finding.says for finding in found] == ["firmware 2.0", "fault, 1.4: arc", "lost: no answer"]
    assert all(finding.do for finding in found[1:])


def test_a_bridge_that_answers_is_asked_over_the_bus(run_dir: Path) -> None:
    bus = Bus(run_dir, "bridge")
    router = bus.socket("commands", zmq.ROUTER, bind=True)

    def answer() -> None:
        peer, *frames = router.recv_multipart()
        question = wire.decode(frames, DeviceCommand)[1]
        state = DeviceState(device="belt", present=True, facts={"firmware": "2.0"})
        reply = CommandReply(ok=True, states=(state,), command_id=question.command_id)
        router.send_multipart([peer, *wire.encode("reply", bus.stamp(reply))])

    thread = threading.Thread(target=answer)
    thread.start()
    heard = bridge.ask(run_dir)
    thread.join()
    bus.close()
    assert heard is not None
    assert states(bridge.check(heard)) == ["green"]


def test_no_bridge_is_grey_and_nothing_is_made(run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert bridge.ask(run_dir / "none") is None
    assert not (run_dir / "none").exists()
    # A socket that a killed bridge left behind.
    monkeypatch.setattr(bridge, "TIMEOUT_S", 0.2)
    (run_dir / "commands").touch()
    assert bridge.ask(run_dir) is None
    assert states(bridge.check(None)) == ["grey"]


# --- kernel


@pytest.mark.parametrize(
    ("rmem_max", "unit", "state"),
    [(64 << 20, False, "green"), (212_992, False, "red"), (212_992, True, "amber"), (None, False, "grey")],
)
def test_receive_buffer(rmem_max: int | None, unit: bool, state: str) -> None:
    found = buffers.check(rmem_max, 64, socket_unit=unit)
    assert found.state == state
    assert state in ("green", "grey") or "net.core.rmem_max=67108864" in found.do


def test_rmem_max_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "rmem_max").write_text("4194304\n", encoding="ascii")
    assert buffers.read(tmp_path / "rmem_max") == 4 << 20
    assert buffers.read(tmp_path / "none") is None


@pytest.mark.parametrize(
    ("priority", "running", "permitted", "unit", "state"),
    [
        (0, [], True, True, "amber"),
        (20, [os.SCHED_OTHER, os.SCHED_FIFO], False, False, "green"),
        (20, [os.SCHED_OTHER], True, True, "red"),
        (20, [], False, True, "green"),
        (20, [], True, False, "green"),
        (20, [], False, False, "red"),
    ],
)
def test_readout_priority(priority: int, running: list[int], permitted: bool, unit: bool, state: str) -> None:
    found = scheduling.check(priority, running, permitted_here=permitted, unit=unit)
    assert found.state == state
    assert (state == "green") == (not found.do)


def test_threads_of_readout_are_found_in_proc(tmp_path: Path) -> None:
    def process(pid: int, command_line: bytes, policies: list[int]) -> None:
        folder = tmp_path / str(pid)
        for n, policy in enumerate(policies):
            (folder / "task" / str(pid + n)).mkdir(parents=True)
            fields = ["S"] + ["0"] * 37 + [str(policy)] + ["0"] * 10
            (folder / "task" / str(pid + n) / "stat").write_text(f"{pid + n} (a) b) {' '.join(fields)}\n")
        (folder / "cmdline").write_bytes(command_line)

    process(10, b"python\0-m\0edge.readout.main\0", [0, 1])
    process(20, b"python\0-m\0edge.verdict.main\0", [2])
    process(30, b"grep\0edge.readout.main.x\0", [3])
    (tmp_path / "version").touch()
    (tmp_path / "40").mkdir()  # ended meanwhile
    assert sorted(scheduling.policies(tmp_path)) == [0, 1]


def test_this_thread_keeps_its_priority_when_permission_is_tried() -> None:
    before = os.sched_getscheduler(0)
    assert scheduling.permitted(1) in (True, False)
    assert os.sched_getscheduler(0) == before


# --- compute


@pytest.mark.parametrize(
    ("seen", "backend", "expected"),
    [
        (Compute("", "", ""), "auto", ["grey", "grey", "grey"]),
        (Compute("", "", ""), "cuda", ["red", "red", "grey"]),
        (Compute("# R36", "", ""), "auto", ["green", "amber", "grey"]),
        (Compute("# R36", "13.3", "10.3"), "cuda", ["green", "green", "green"]),
    ],
)
def test_gpu(seen: Compute, backend: str, expected: list[str]) -> None:
    found = compute.check(seen, backend)
    assert states(found) == expected
    assert all(finding.do for finding in found if finding.state in ("red", "amber"))


def test_driver_and_libraries_are_looked_up(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/nv_tegra_release").write_text("# R36 (release), REVISION: 4.3\nmore\n", encoding="utf-8")

    def version(name: str) -> str:
        if name == "cupy-cuda12x":
            return "13.3"
        raise metadata.PackageNotFoundError(name)

    assert compute.look(tmp_path, version) == Compute("# R36 (release), REVISION: 4.3", "13.3", "")


# --- disk and clock


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (None, ["red"]),
        (Disk(100 << 30, 10**6, ""), ["green", "green"]),
        (Disk(5 << 30, 10**6, ""), ["green", "amber"]),
        (Disk(1 << 29, 10**6, ""), ["green", "red"]),
        (Disk(100 << 30, 3, ""), ["green", "red"]),
        (Disk(100 << 30, 10**6, "Read-only file system"), ["red", "green"]),
    ],
)
def test_disk(seen: Disk | None, expected: list[str], tmp_path: Path) -> None:
    assert states(disk.check(tmp_path, seen)) == expected


def test_disk_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = disk.look(tmp_path)
    assert seen is not None
    assert (seen.free_bytes > 0, seen.error) == (True, "")
    assert list(tmp_path.iterdir()) == []
    assert disk.look(tmp_path / "none") is None

    def refuse(**_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    refused = disk.look(tmp_path)
    assert refused is not None
    assert refused.error == "Permission denied"


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (None, ["grey"]),
        (Clock(True, 2_000, 37), ["green", "green"]),
        (Clock(True, 900_000, 37), ["amber", "green"]),
        (Clock(False, 16_000_000, 0), ["red", "grey"]),
    ],
)
def test_clock(seen: Clock | None, expected: list[str]) -> None:
    assert states(clock.check(seen)) == expected


def test_the_kernel_answers_about_its_clock() -> None:
    seen = clock.look()
    assert seen is not None
    assert seen.max_error_us >= 0
    assert 0 <= seen.tai_offset_s < 100


# --- calibration and configuration


def test_calibration_by_age(tmp_path: Path) -> None:
    config = Config.model_validate({"lane": {"state_dir": str(tmp_path)}})
    assert calibration.check(config).says == "none: no bag will be cleared"
    pointer = tmp_path / "calibration/active"
    pointer.parent.mkdir()
    pointer.write_text("cal-0123456789abcdef", encoding="ascii")
    damaged = calibration.check(config)
    assert (damaged.state, damaged.do) == ("red", calibration.REMEDY)


class FakeBundle:
    id = "cal-0"
    created_ns = 0

    def state(self, max_age_h: float, scanner_json: str, now_ns: int) -> str:
        return "CALIBRATED" if 0 <= now_ns <= max_age_h * 3.6e12 else "EXPIRED"


@pytest.mark.parametrize(
    ("age_h", "state", "says"),
    [(1, "green", "1.0 h old of 24 h"), (23, "amber", "expires soon"), (25, "red", "expired"), (-1, "red", "future")],
)
def test_calibration_of_an_age(age_h: float, state: str, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "load_active", lambda folder: FakeBundle())
    found = calibration.check(Config(), now_ns=int(age_h * 3.6e12))
    assert found.state == state
    assert says in found.says
    assert (state == "green") == (not found.do)


def test_calibration_of_another_scanner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeBundle, "state", lambda *_: "INVALID")
    monkeypatch.setattr(calibration, "load_active", lambda folder: FakeBundle())
    assert "other [scanner] settings" in calibration.check(Config(), now_ns=1).says


@pytest.mark.parametrize(("mode", "state"), [(0o640, "green"), (0o644, "amber"), (0o660, "red"), (0o646, "red")])
def test_permissions_of_the_configuration(tmp_path: Path, mode: int, state: str) -> None:
    file = tmp_path / "lane.toml"
    file.write_text("", encoding="utf-8")
    file.chmod(mode)
    found, config = configuration.check(file, ROOT)
    assert states(found) == [state]
    assert config is not None
    file.chmod(0o600)
    assert states(configuration.check(file, NOBODY)[0]) == ["red"]


def test_a_configuration_that_cannot_be_used_ends_the_page(tmp_path: Path) -> None:
    file = tmp_path / "lane.toml"
    file.write_text("[belt]\nlead_air_mm = -1\n", encoding="utf-8")
    found = examination.examine(file)
    assert states(found) == ["red"]
    assert "belt.lead_air_mm" in found[0].says
    assert states(configuration.check(None, ROOT)[0]) == ["grey"]


# --- the page


def test_the_page_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "INSTALLED", tmp_path / "none")
    result = CliRunner().invoke(app, ["doctor", "--json", "--state-dir", str(tmp_path / "none")])
    page = json.loads(result.output)
    assert (result.exit_code, page["healthy"]) == (1, False)  # no device, no calibration
    sections = {finding["section"] for finding in page["findings"]}
    assert sections == {
        "configuration", "devices", "bridge", "kernel", "compute", "disk", "clock", "calibration", "keys",
    }  # fmt: skip
    assert all(finding["do"] for finding in page["findings"] if finding["state"] == "red")
    assert not (tmp_path / "none").exists()


def test_the_printed_page_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [Finding("disk", "room", "green", "9 GiB"), Finding("disk", "[x]", "red", "bad [y]", "repair it")]
    monkeypatch.setattr(command, "examine", lambda *_: lines)
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == 1
    for text in ("bad [y]", "[x]", "-> repair it", "1 green, 0 amber, 1 red, 0 grey"):
        assert text in result.output
    monkeypatch.setattr(command, "examine", lambda *_: lines[:1])
    assert CliRunner().invoke(app, ["doctor"]).exit_code == 0
