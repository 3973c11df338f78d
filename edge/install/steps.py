"""Install and uninstall as lists of steps: planned from what is there, then done, or only shown."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from edge.install.layout import CONFIGURATION, MANIFEST, InstallError, Shipped
from edge.install.manifest import Manifest, load, sha256

TARGET = "darklane.target"
#: Where `systemctl enable` puts its links.
ENABLED_IN = "etc/systemd/system"
MODE = 0o644
#: Of the configuration; tmpfiles.d gives it to root and the group of the services.
PRIVATE_MODE = 0o640
FOLDER_MODE = 0o755


@dataclass(frozen=True)
class Step:
    """One line of what is done. ``verb``: create, update, unchanged, keep, remove or gone."""

    verb: str
    path: str
    note: str = ""


def install(root: Path, files: list[Shipped], *, force: bool = False, dry_run: bool = False) -> list[Step]:
    """Put ``files`` below ``root``; the same again changes nothing.

    A file that somebody else wrote or changed is never overwritten without ``force``: InstallError names all of them,
    and nothing was touched. The configuration is never overwritten at all. What an earlier version installed and this
    one does not ship is removed.
    """
    before = load(root)
    steps = [_plan(root, file, before) for file in files]
    foreign = [step.path for step in steps if step.verb == "conflict"]
    if foreign and not force:
        raise InstallError(
            f"changed here, or not ours: {', '.join(foreign)}. Nothing was installed. Put changes of units into "
            "/etc/systemd/system/NAME.d/*.conf and remove the file, or overwrite with --force"
        )
    steps = [Step("update", step.path, "overwritten") if step.verb == "conflict" else step for step in steps]
    shipped_now = {str(file.target) for file in files}
    outdated = {name: digest for name, digest in before.files.items() if name not in shipped_now}
    steps += [_plan_removal(root, name, digest) for name, digest in outdated.items()]
    if dry_run:
        return steps
    contents = {str(file.target): file.content for file in files}
    after = Manifest(folders=list(before.folders))
    for step in steps:
        if step.verb in ("create", "update"):
            after.folders += _make_folders(root, step.path)
            _write(root / step.path, contents[step.path])
        elif step.verb == "remove":
            (root / step.path).unlink()
        if step.verb in ("create", "update", "unchanged"):
            after.files[step.path] = sha256(contents[step.path])
        elif step.verb == "keep" and step.path in before.files:
            after.files[step.path] = before.files[step.path]
    after.folders += _make_folders(root, str(MANIFEST))
    _write(root / MANIFEST, after.model_dump_json(indent=2).encode() + b"\n")
    return steps


def uninstall(root: Path, *, dry_run: bool = False) -> list[Step]:
    """Remove what :func:`install` wrote below ``root`` and nobody changed since, and folders that are empty then.

    InstallError, and nothing is touched, while the lane is enabled or when nothing was installed.
    """
    manifest = load(root)
    if not manifest.files:
        raise InstallError(f"nothing of Darklane was installed below {root} (no {MANIFEST})")
    steps = [_plan_removal(root, name, digest) for name, digest in sorted(manifest.files.items())]
    if dry_run:
        return steps
    # Below another root the links lead nowhere, so they must not be followed.
    links = [folder / TARGET for folder in sorted((root / ENABLED_IN).glob("*.wants"))]
    enabled = [link for link in links if link.is_symlink()]
    if enabled:
        raise InstallError(f"{TARGET} is still enabled ({enabled[0]}); first: systemctl disable --now {TARGET}")
    for step in steps:
        if step.verb == "remove":
            (root / step.path).unlink()
    (root / MANIFEST).unlink()
    for folder in reversed(manifest.folders):
        path = root / folder
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()
            steps.append(Step("remove", folder + "/"))
    return steps


def _plan(root: Path, file: Shipped, before: Manifest) -> Step:
    name, path = str(file.target), root / file.target
    if path.is_symlink() or (path.exists() and not path.is_file()):
        return Step("conflict", name)
    if not path.exists():
        return Step("create", name)
    present = path.read_bytes()
    if present == file.content:
        return Step("unchanged", name)
    if file.target == CONFIGURATION:
        return Step("keep", name, "the configuration of this box")
    return Step("update" if sha256(present) == before.files.get(name) else "conflict", name)


def _plan_removal(root: Path, name: str, digest: str) -> Step:
    path = root / name
    if not path.is_file() or path.is_symlink():
        return Step("gone", name, "was removed by somebody else")
    if sha256(path.read_bytes()) != digest:
        return Step("keep", name, "was changed here; remove it yourself")
    return Step("remove", name)


def _make_folders(root: Path, name: str) -> list[str]:
    """Make the folders of ``name``; returns those that were not there, outermost first."""
    missing = [str(f) for f in reversed(PurePosixPath(name).parents) if str(f) != "." and not (root / f).is_dir()]
    for folder in missing:
        (root / folder).mkdir(mode=FOLDER_MODE)
    return missing


def _write(path: Path, content: bytes) -> None:
    part = path.with_name(path.name + ".part")
    part.write_bytes(content)
    part.chmod(PRIVATE_MODE if path.name == CONFIGURATION.name else MODE)
    part.replace(path)
