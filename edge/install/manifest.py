"""What an installation wrote: the one thing that uninstall believes."""

from __future__ import annotations

import hashlib
from pathlib import Path, PurePosixPath

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edge.install.layout import MANIFEST, InstallError


class Manifest(BaseModel):
    """Paths are relative to the root of the file system."""

    model_config = ConfigDict(extra="forbid")

    format: int = Field(1, ge=1, le=1)
    files: dict[str, str] = Field(default_factory=dict, description="path: SHA-256 of what was written")
    folders: list[str] = Field(default_factory=list, description="folders made, outermost first")


def sha256(content: bytes) -> str:
    """Hexadecimal SHA-256."""
    return hashlib.sha256(content).hexdigest()


def load(root: Path) -> Manifest:
    """The manifest below ``root``; an empty one where nothing was installed."""
    path = root / MANIFEST
    try:
        manifest = Manifest.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return Manifest()
    except (OSError, ValidationError) as error:
        raise InstallError(f"{path} cannot be read ({error}); put it right or remove it, then install again") from error
    for name in (*manifest.files, *manifest.folders):
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise InstallError(f"{path} names {name!r}, which is not below the root; put it right or remove it")
    return manifest
