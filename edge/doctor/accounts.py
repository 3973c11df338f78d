"""Whose rights count: the services' user where there is one, otherwise whoever asks."""

from __future__ import annotations

import grp
import os
import pwd
import stat
from dataclasses import dataclass

SERVICE_USER = "darklane"


@dataclass(frozen=True)
class Account:
    """A user and all its groups."""

    name: str
    uid: int
    groups: frozenset[int]

    def may(self, status: os.stat_result, *, write: bool) -> bool:
        """Whether it may read (and ``write``) what ``status`` describes; root may everything."""
        wanted = 0o6 if write else 0o4
        if self.uid == 0:
            return True
        if status.st_uid == self.uid:
            shift = 6
        elif status.st_gid in self.groups:
            shift = 3
        else:
            shift = 0
        return (stat.S_IMODE(status.st_mode) >> shift) & wanted == wanted


def service_account() -> Account:
    """The account that the services have on this box."""
    try:
        entry = pwd.getpwnam(SERVICE_USER)
    except KeyError:
        return Account(_name(os.geteuid()), os.geteuid(), frozenset({os.getegid(), *os.getgroups()}))
    groups = {group.gr_gid for group in grp.getgrall() if SERVICE_USER in group.gr_mem}
    return Account(SERVICE_USER, entry.pw_uid, frozenset({entry.pw_gid, *groups}))


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
