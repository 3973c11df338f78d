"""darklane install and uninstall: what they write, what they leave alone, and that they say so."""

from __future__ import annotations

import json
import re
from pathlib import Path, PurePosixPath

import pytest
from typer.testing import CliRunner

from edge.commands import app
from edge.config import load
from edge.install import layout, steps
from edge.install.layout import CONFIGURATION, MANIFEST, InstallError, Shipped, shipped

READOUT = "usr/local/lib/systemd/system/darklane-readout.service"


def content(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def run(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == code, result.output
    return re.sub(r"\s+", " ", result.output)


def test_install_twice_then_uninstall(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    said = run("install", "--root", str(tmp_path), "--prefix", "/srv/dl")
    assert f"create {tmp_path}/{READOUT}" in said
    assert "systemctl enable --now darklane.target" in said
    unit = (tmp_path / READOUT).read_text(encoding="utf-8")
    assert "ExecStart=/srv/dl/bin/python -m edge.readout.main --config /etc/darklane/lane.toml" in unit
    first = content(tmp_path)
    assert re.search(r"done: \d+ unchanged", run("install", "--root", str(tmp_path), "--prefix", "/srv/dl"))
    assert content(tmp_path) == first
    run("uninstall", "--root", str(tmp_path))
    assert [path.name for path in tmp_path.rglob("*")] == ["etc"]


def test_dry_runs_change_nothing(tmp_path: Path) -> None:
    assert "nothing was changed" in run("install", "--root", str(tmp_path), "--dry-run")
    assert list(tmp_path.iterdir()) == []
    run("install", "--root", str(tmp_path))
    before = content(tmp_path)
    assert "nothing was changed" in run("uninstall", "--root", str(tmp_path), "--dry-run")
    assert content(tmp_path) == before


def test_the_shipped_configuration_can_be_used_and_is_never_overwritten(tmp_path: Path) -> None:
    run("install", "--root", str(tmp_path))
    file = tmp_path / CONFIGURATION
    assert load(file).lane.name == "lane-1"
    assert file.stat().st_mode & 0o777 == 0o640
    file.write_text('[lane]\nname = "gate-7"\n', encoding="utf-8")
    assert "keep" in run("install", "--root", str(tmp_path), "--force")
    assert load(file).lane.name == "gate-7"
    assert "was changed here" in run("uninstall", "--root", str(tmp_path))
    assert content(tmp_path) == {str(CONFIGURATION): b'[lane]\nname = "gate-7"\n'}


def test_a_unit_that_was_changed_by_hand_stops_the_install_before_anything_is_written(tmp_path: Path) -> None:
    run("install", "--root", str(tmp_path))
    (tmp_path / READOUT).write_text("mine\n", encoding="utf-8")
    before = content(tmp_path)
    assert READOUT in run("install", "--root", str(tmp_path), "--prefix", "/srv/dl", code=1)
    assert content(tmp_path) == before
    run("install", "--root", str(tmp_path), "--force")
    assert b"ExecStart" in (tmp_path / READOUT).read_bytes()


def test_uninstall_leaves_what_was_changed_and_what_is_not_ours(tmp_path: Path) -> None:
    run("install", "--root", str(tmp_path))
    (tmp_path / READOUT).write_text("mine\n", encoding="utf-8")
    other = tmp_path / "usr/local/lib/systemd/system/other.service"
    other.write_text("theirs\n", encoding="utf-8")
    (tmp_path / "usr/local/lib/sysctl.d/60-darklane.conf").unlink()
    said = run("uninstall", "--root", str(tmp_path))
    assert "was changed here" in said
    assert "was removed by somebody else" in said
    assert content(tmp_path) == {READOUT: b"mine\n", other.relative_to(tmp_path).as_posix(): b"theirs\n"}


def test_a_new_version_updates_its_files_and_removes_what_it_no_longer_ships(tmp_path: Path) -> None:
    def ship(*files: tuple[str, bytes]) -> list[Shipped]:
        return [Shipped(PurePosixPath(name), data) for name, data in files]

    steps.install(tmp_path, ship(("usr/a", b"1"), ("usr/b", b"1"), ("usr/c", b"1")))
    (tmp_path / "usr/c").write_bytes(b"mine")
    done = steps.install(tmp_path, ship(("usr/a", b"2")))
    assert {(step.verb, step.path) for step in done} == {("update", "usr/a"), ("remove", "usr/b"), ("keep", "usr/c")}
    assert json.loads((tmp_path / MANIFEST).read_text())["files"].keys() == {"usr/a", "usr/c"}
    assert [step.verb for step in steps.uninstall(tmp_path)][:2] == ["remove", "keep"]
    assert content(tmp_path) == {"usr/c": b"mine"}


def test_an_enabled_lane_is_not_uninstalled(tmp_path: Path) -> None:
    run("install", "--root", str(tmp_path))
    wants = tmp_path / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir(parents=True)
    (wants / "darklane.target").symlink_to("/usr/local/lib/systemd/system/darklane.target")
    before = content(tmp_path)
    assert "systemctl disable --now darklane.target" in run("uninstall", "--root", str(tmp_path), code=1)
    assert content(tmp_path) == before


def test_nothing_installed_is_said(tmp_path: Path) -> None:
    assert "nothing of Darklane was installed" in run("uninstall", "--root", str(tmp_path), code=1)


@pytest.mark.parametrize("text", ["{", '{"files": {"../x": "0"}}', '{"folders": ["/etc"]}', '{"format": 2}'])
def test_a_manifest_that_cannot_be_trusted_stops_both(tmp_path: Path, text: str) -> None:
    path = tmp_path / MANIFEST
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8")
    for command in ("install", "uninstall"):
        assert "install-manifest.json" in run(command, "--root", str(tmp_path), code=1)
    assert content(tmp_path) == {str(MANIFEST): text.encode()}


def test_a_link_in_the_place_of_a_unit_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious", encoding="utf-8")
    place = tmp_path / READOUT
    place.parent.mkdir(parents=True)
    place.symlink_to(victim)
    assert READOUT in run("install", "--root", str(tmp_path), code=1)
    run("install", "--root", str(tmp_path), "--force")
    assert victim.read_text(encoding="utf-8") == "precious"


@pytest.mark.parametrize("prefix", ["relative", "/with space", "/a/../b", "/100%", "/new\nline"])
def test_prefixes_that_a_unit_cannot_name_are_refused(tmp_path: Path, prefix: str) -> None:
    assert "give an absolute path" in run("install", "--root", str(tmp_path), "--prefix", prefix, code=1)
    assert list(tmp_path.iterdir()) == []


def test_a_prefix_that_services_cannot_see_is_mentioned(tmp_path: Path) -> None:
    assert "cannot see /home/x" in run("install", "--root", str(tmp_path), "--prefix", "/home/x", "--dry-run")


def test_missing_files_of_the_package_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(layout, "__file__", str(tmp_path / "a/b/layout.py"))
    with pytest.raises(InstallError, match="install the darklane package again"):
        shipped("/opt/x")


def test_an_installed_package_finds_its_own_copy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The wheel puts `systemd/` beside the module; a package called systemd beside ours is somebody else's."""
    place = tmp_path / "site-packages/edge/install"
    (tmp_path / "site-packages/systemd").mkdir(parents=True)
    (place / "files/system").mkdir(parents=True)
    (place / "files/system/a.service").write_text("[Service]\nExecStart=/opt/darklane/bin/python\n", encoding="utf-8")
    monkeypatch.setattr(layout, "__file__", str(place / "layout.py"))
    assert [file.content for file in shipped("/opt/x")] == [b"[Service]\nExecStart=/opt/x/bin/python\n"]


def test_a_root_that_cannot_be_written_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", "/usr")

    monkeypatch.setattr(Path, "mkdir", refuse)
    assert "is this run as root?" in run("install", "--root", str(tmp_path), code=1)
