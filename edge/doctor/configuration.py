"""Can the configuration be used, and by whom can it be changed?"""

from __future__ import annotations

import stat
from pathlib import Path

from edge.config import Config, ConfigError, load
from edge.doctor.accounts import Account
from edge.doctor.finding import Finding

SECTION = "configuration"


def check(path: Path | None, account: Account) -> tuple[list[Finding], Config | None]:
    """Findings, and the configuration itself; None when it cannot be used."""
    if path is None:
        return [Finding(SECTION, "file", "grey", "no file: all defaults")], Config()
    try:
        config = load(path)
    except ConfigError as error:
        return [Finding(SECTION, "file", "red", str(error), "correct the file")], None
    return [_permissions(path, account)], config


def _permissions(path: Path, account: Account) -> Finding:
    status = path.stat()
    mode = stat.S_IMODE(status.st_mode)
    remedy = f"chown root:darklane {path}; chmod 640 {path}"
    says = f"{path}, mode {mode:04o}"
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        return Finding(SECTION, "file", "red", f"{says}: others than its owner can change it", remedy)
    if not account.may(status, write=False):
        return Finding(SECTION, "file", "red", f"{says}: user {account.name} cannot read it", remedy)
    if mode & stat.S_IROTH:
        return Finding(SECTION, "file", "amber", f"{says}: everybody can read it", remedy)
    return Finding(SECTION, "file", "green", says)
