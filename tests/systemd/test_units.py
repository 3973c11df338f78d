"""The unit files: against the table of services, and as systemd itself judges them."""

from __future__ import annotations

import configparser
import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from edge.config import load
from edge.install.layout import CONFIGURATION, DEFAULT_PREFIX, TARGETS, folder
from edge.services import SERVICES, Service
from tests.systemd.box import SERVICES as CHECKED_IN_CONTAINER
from tests.systemd.conftest import tool

#: Worst exposure that a unit may have, as `systemd-analyze security` counts it (0 to 10).
EXPOSURE = 2.0
NAMES = [f"darklane-{service.name}.service" for service in SERVICES]
ALL = [*NAMES, "darklane-readout.socket", "darklane.target"]


class Repeated(dict[str, str]):
    """Units may set a key several times; the values are joined by a space."""

    def __setitem__(self, key: str, value: str) -> None:
        old = self.get(key)
        super().__setitem__(key, f"{old} {value}" if isinstance(old, str) and isinstance(value, str) else value)


def read(path: Path) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser(strict=False, delimiters=("=",), comment_prefixes=("#",), interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(re.sub(r"\\\n", " ", path.read_text(encoding="utf-8")))
    return parser


def analyse(units: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [tool("systemd-analyze", "systemd"), *arguments],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "SYSTEMD_UNIT_PATH": f"{units}:", "SYSTEMD_COLORS": "0"},
        timeout=60,
    )


def test_there_is_one_unit_for_each_service_and_no_other(units: Path) -> None:
    assert sorted(path.name for path in units.iterdir() if path.is_file()) == sorted(ALL)
    wanted = set(re.findall(r"^Wants=(.*)$", (units / "darklane.target").read_text(), re.M))
    assert set(" ".join(wanted).split()) == set(ALL) - {"darklane.target"}
    assert tuple(service.name for service in SERVICES) == CHECKED_IN_CONTAINER


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_units_say_what_the_table_says(units: Path, service: Service) -> None:
    unit = read(units / f"darklane-{service.name}.service")
    command = f"{sys.prefix}/bin/python -m {service.module} --config /{CONFIGURATION}"
    assert unit["Service"]["ExecStart"] == command
    assert float(unit["Service"]["WatchdogSec"]) == service.watchdog_s
    assert unit["Unit"]["Description"] == f"Darklane {service.name}: {service.purpose}"


def test_services_start_in_the_order_of_the_table(units: Path) -> None:
    """And so end against it: data sources first."""
    for before, after in pairwise(NAMES):
        assert before in read(units / after)["Unit"]["After"].split()


def test_common_rules(units: Path) -> None:
    common = read(units / "darklane-.service.d/10-common.conf")
    assert common["Unit"]["StartLimitIntervalSec"] == "0"
    assert (common["Service"]["Restart"], common["Service"]["Type"]) == ("always", "notify")
    for name in NAMES:
        section = read(units / name)["Service"]
        assert not {"Restart", "Type", "User"} & set(section), "what all share stands in one place"


def test_socket_and_configuration_name_the_same_port(root: Path, units: Path) -> None:
    config = load(root / CONFIGURATION)
    socket = read(units / "darklane-readout.socket")["Socket"]
    assert socket["ListenDatagram"].rsplit(":", 1)[1] == str(config.detector.port)
    assert socket["ReceiveBuffer"] == f"{config.detector.receive_buffer_mib}M"
    assert socket["FileDescriptorName"] == "readout"
    readout = read(units / "darklane-readout.service")["Service"]
    assert int(readout["CPUSchedulingPriority"]) == config.detector.fifo_priority
    buffer = re.search(r"rmem_max = (\d+)", (root / TARGETS["sysctl.d"] / "60-darklane.conf").read_text())
    assert buffer is not None
    assert int(buffer[1]) == config.detector.receive_buffer_mib << 20


def test_paths_of_the_units_and_of_the_configuration_are_those_that_tmpfiles_makes(root: Path, units: Path) -> None:
    config = load(root / CONFIGURATION)
    made = (root / TARGETS["tmpfiles.d"] / "darklane.conf").read_text(encoding="utf-8")
    writable = read(units / "darklane-.service.d/10-common.conf")["Service"]["ReadWritePaths"].split()
    assert sorted(writable) == sorted(map(str, (config.state_dir, config.run_dir)))
    for path in writable:
        assert re.search(rf"^d {path} 0700 darklane darklane$", made, re.M)


def test_systemd_finds_nothing_wrong(units: Path) -> None:
    """One call for all: every line that it writes is a complaint, whatever its exit code."""
    done = analyse(units, "verify", *(str(units / name) for name in ALL))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_what_is_wrong_would_be_found(units: Path, tmp_path: Path) -> None:
    bad = tmp_path / "darklane-bridge.service"
    bad.write_text((units / bad.name).read_text(encoding="utf-8") + "Bogus=1\n", encoding="utf-8")
    done = analyse(tmp_path, "verify", str(bad))
    assert "Bogus" in done.stderr


def test_exposure(units: Path) -> None:
    for name in NAMES:
        done = analyse(units, "security", "--offline=true", f"--threshold={int(EXPOSURE * 10)}", str(units / name))
        found = re.search(r"exposure level for \S+: ([0-9.]+)", done.stdout)
        assert found is not None, done.stderr
        assert done.returncode == 0, f"{name}: {found[0]}"
        assert float(found[1]) <= EXPOSURE


def test_shipped_files_name_no_other_place(units: Path) -> None:
    for path in folder().rglob("*"):
        if path.is_file():
            text = path.read_text(encoding="utf-8")
            assert not re.search(r"/(home|root|work)/", text), path
    assert DEFAULT_PREFIX not in (units / "darklane-bridge.service").read_text(encoding="utf-8")
