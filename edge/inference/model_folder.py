"""The models of a lane: the bundles in ``<state_dir>/models``, the shipped one, and which of them is in use.

Two pointers, ``active`` and ``shadow``, hold an id or one of three words; ``keys/trusted`` holds the public keys whose
signatures the lane accepts. The shipped bundle is accepted with the key that is installed beside it.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from calibration.activation import ACTIVE, Pointer
from calibration.signing import KeyStore
from edge.inference.bundle import MANIFEST, PREFIX, ModelBundle, ModelBundleError, load

#: Words that a pointer may hold instead of an id: what the software ships, or no network at all.
SHIPPED, NONE = "shipped", "none"
SHADOW = "shadow"
KEYS = "keys"
#: Folder beside that of the models, for what TensorRT built of them on this machine.
ENGINES = "engines"
#: Where the shipped bundle lies: one folder named by its id, and the key that signed it.
SHIPPED_FOLDER = Path(__file__).parent / "models" / "network"


@dataclass(frozen=True)
class Entry:
    """One bundle that is there. ``bundle`` is None when it may not be used; ``error`` then says why."""

    name: str
    bundle: ModelBundle | None
    error: str = ""


class ModelFolder:
    """``<state_dir>/models`` of one lane."""

    def __init__(self, state_dir: Path, shipped: Path = SHIPPED_FOLDER) -> None:
        self.path = state_dir / "models"
        self._shipped = shipped
        self.keys = KeyStore(self.path / KEYS)

    def pointer(self, role: str = ACTIVE) -> Pointer:
        """The pointer of ``role``: active or shadow."""
        return Pointer(self.path, role)

    def chosen(self, role: str = ACTIVE) -> str:
        """Word or id that the pointer of ``role`` holds; :data:`SHIPPED` when it was never set."""
        return self.pointer(role).get() or SHIPPED

    def in_use(self, role: str = ACTIVE) -> str:
        """What the lane takes for ``role`` now."""
        return self.meant_by(self.chosen(role), role)

    def meant_by(self, name: str, role: str) -> str:
        """What ``name`` is for ``role``: an id, :data:`SHIPPED` where a bundle ships for that role, or :data:`NONE`.

        A shipped bundle that is damaged counts as active: it must be noticed.
        """
        if name != SHIPPED:
            return name
        if self.shipped_path() is None:
            return NONE
        try:
            ships: str = self.load(SHIPPED).manifest.role
        except ModelBundleError:
            ships = ACTIVE
        return SHIPPED if ships == role else NONE

    def entries(self) -> list[Entry]:
        """Every bundle, the shipped one first, then by name."""
        found = []
        if self.shipped_path() is not None:
            found.append(self._entry(SHIPPED))
        found += [
            self._entry(path.name) for path in sorted(self.path.glob(f"{PREFIX}*")) if (path / MANIFEST).is_file()
        ]
        return found

    def load(self, name: str) -> ModelBundle:
        """The verified bundle of an id, or the shipped one; :class:`ModelBundleError` says why it cannot be used."""
        if name == SHIPPED:
            path = self.shipped_path()
            if path is None:
                raise ModelBundleError("no network is shipped with this software; activate one of your own")
            return load(path, KeyStore(self._shipped / KEYS))
        if not name.startswith(PREFIX) or not name[len(PREFIX) :].isalnum():
            raise ModelBundleError(f"{name!r:.60} is no model; give an id ({PREFIX}…), {SHIPPED!r} or {NONE!r}")
        bundle = load(self.path / name, self.keys)
        if bundle.id != name:
            raise ModelBundleError(f"{self.path / name} holds {bundle.id}; give the folder its own name back")
        return bundle

    def find(self, beginning: str) -> str:
        """The whole name of a bundle given by the beginning of its id; words stay. ModelBundleError otherwise."""
        if beginning in (SHIPPED, NONE):
            return beginning
        names = [path.name for path in self.path.glob(f"{PREFIX}*") if (path / MANIFEST).is_file()]
        matches = [name for name in names if name.startswith((beginning, PREFIX + beginning))]
        if len(matches) != 1:
            known = ", ".join(sorted(names)) or "none"
            raise ModelBundleError(f"{beginning!r:.60} names {len(matches)} models of {self.path}; there are: {known}")
        return matches[0]

    def add(self, source: Path) -> str:
        """Copy the bundle in folder ``source`` here after checking it; returns its id."""
        bundle = load(source, self.keys)
        target, part = self.path / bundle.id, self.path / f"{bundle.id}.part"
        if source.resolve() != target.resolve():
            shutil.rmtree(part, ignore_errors=True)
            shutil.copytree(source, part)
            shutil.rmtree(target, ignore_errors=True)
            part.replace(target)
        return bundle.id

    def shipped_path(self) -> Path | None:
        """Folder of the shipped bundle, None when there is none."""
        found = sorted(self._shipped.glob(f"{PREFIX}*/{MANIFEST}"))
        return found[0].parent if found else None

    def _entry(self, name: str) -> Entry:
        try:
            return Entry(name, self.load(name))
        except ModelBundleError as error:
            return Entry(name, None, str(error))
