"""All checks of one box, in the order of the page."""

from __future__ import annotations

from pathlib import Path

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
    keys,
    scheduling,
    usb,
)
from edge.doctor.accounts import Account, service_account
from edge.doctor.finding import Finding
from edge.install.layout import TARGETS
from edge.security.keys import FOLDER, KeyStore
from firmware_bridge.hotplug import UsbId, UsbPorts


def examine(path: Path | None, state_dir: Path | None = None, root: Path = Path("/")) -> list[Finding]:
    """Look at this box with the configuration at ``path`` (None: all defaults); ``state_dir`` replaces its own."""
    account = service_account()
    findings, config = configuration.check(path, account)
    if config is None:
        return findings
    if state_dir is not None:
        config = config.model_copy(update={"lane": config.lane.model_copy(update={"state_dir": state_dir})})
    units = root / TARGETS["system"]
    detector = config.detector
    findings += _devices(config, account)
    findings += bridge.check(bridge.ask(config.run_dir))
    findings.append(
        buffers.check(
            buffers.read(), detector.receive_buffer_mib, socket_unit=(units / "darklane-readout.socket").is_file()
        )
    )
    findings.append(
        scheduling.check(
            detector.fifo_priority,
            scheduling.policies(),
            permitted_here=scheduling.permitted(max(1, detector.fifo_priority)),
            unit=(units / "darklane-readout.service").is_file(),
        )
    )
    findings += compute.check(compute.look(root), config.retrieval.backend)
    findings += disk.check(config.state_dir, disk.look(config.state_dir))
    findings += clock.check(clock.look())
    findings.append(calibration.check(config))
    findings += keys.check(config.gateway, KeyStore(config.state_dir / FOLDER), account)
    return findings


def _devices(config: Config, account: Account) -> list[Finding]:
    ports = devices.ports(config)
    found: list[Finding] = []
    if config.belt.usb is not None:
        wanted = config.belt.usb
        lost, port = usb.check(UsbPorts(UsbId(wanted.vendor, wanted.product, wanted.serial)))
        if lost is not None:
            found.append(lost)
            del ports["belt"]
        else:
            ports["belt"] = port
    emulated = config.emulator is not None
    return found + [devices.check(name, port, account, emulated=emulated) for name, port in ports.items()]
