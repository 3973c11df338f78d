"""Keys: files that are read as they were written or not at all, the store, the command, the doctor, ZAP, the limits."""

from __future__ import annotations

import json
import logging
import random
from pathlib import Path
from typing import Any

import pytest
import zmq
import zmq.auth
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner
from zmq.utils import z85

from edge.commands import app
from edge.config import Gateway
from edge.doctor import keys as doctor
from edge.doctor.accounts import Account
from edge.gateway.limits import CLIENTS, Limits
from edge.security import key_file, refusals, zap
from edge.security.key_file import Key, KeyFileError
from edge.security.keys import Admitted, KeyStore
from edge.security.refusals import Refusals
from edge.security.zap import Answer, ZapError, ZapRequest
from tests.fuzz.mutations import MUTATIONS

ROOT = Account("root", 0, frozenset({0}))
NOBODY = Account("nobody", 65534, frozenset({65534}))
#: The example of ZeroMQ's curve documentation.
PUBLIC, SECRET = b"Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID", b"D:)Q[IlAW!ahhC2ac:9*A}h:p?([4%wOTJ%JR%cs"


@pytest.fixture
def store(tmp_path: Path) -> KeyStore:
    return KeyStore(tmp_path / "keys")


# --- files


def test_a_pair_and_its_public_half_come_back(tmp_path: Path) -> None:
    key = Key("sorter-2", PUBLIC, SECRET)
    pair, public = tmp_path / "a.key_secret", tmp_path / "a.key"
    key_file.write(pair, key)
    key_file.write(public, key.without_secret)
    assert (key_file.read(pair, private=True), key_file.read(public)) == (key, key.without_secret)
    assert (pair.stat().st_mode & 0o777, public.stat().st_mode & 0o777) == (0o600, 0o644)
    # Other people's tools read them too.
    assert zmq.auth.load_certificate(pair) == (PUBLIC, SECRET)
    assert SECRET.decode() not in repr(key)


def test_a_secret_that_others_can_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.key_secret"
    key_file.write(file, key_file.new_key("a"))
    file.chmod(0o640)
    with pytest.raises(KeyFileError, match="mode 0640 lets others read"):
        key_file.read(file, private=True)
    key_file.write(file, key_file.new_key("a").without_secret)
    file.chmod(0o600)
    with pytest.raises(KeyFileError, match="no secret key"):
        key_file.read(file, private=True)
    with pytest.raises(KeyFileError, match="cannot be read"):
        key_file.read(tmp_path / "none")


@pytest.mark.parametrize("name", ["", ".a", "-a", "a/b", "a b", "ä", "a\n", "x" * 65])
def test_names_that_a_file_or_a_log_could_not_bear_are_refused(name: str) -> None:
    with pytest.raises(KeyFileError, match="give up to 64 letters"):
        key_file.new_key(name)


@pytest.mark.parametrize(
    "text", [b"", PUBLIC[:-1], PUBLIC + b"0", PUBLIC[:-1] + b'"', b"#" * 40, PUBLIC[:-1] + b"\xff"]
)
def test_what_is_no_key_is_refused(text: bytes) -> None:
    with pytest.raises(KeyFileError, match="not a CURVE key"):
        key_file.check_key(text)


def test_a_damaged_file_is_never_read_as_another_key() -> None:
    rng = random.Random(7)  # noqa: S311
    for key in (Key("sorter-2", PUBLIC, SECRET), Key("a", PUBLIC)):
        whole = key_file.render(key).encode()
        for _ in range(1500):
            data = bytearray(whole)
            for _ in range(rng.randrange(1, 4)):
                if data:
                    rng.choice(MUTATIONS)(rng, data)
            try:
                assert key_file.parse(bytes(data)) == key
                assert bytes(data) == whole
            except KeyFileError:
                pass


# --- the store


def test_allowed_revoked_and_allowed_again(store: KeyStore) -> None:
    assert store.admitted() == Admitted()
    raw = z85.decode(PUBLIC)
    empty = store.marks()
    store.allow("a", PUBLIC)
    store.allow("a", PUBLIC)
    assert store.admitted() == Admitted({raw: "a"}, {})
    allowed = store.marks()
    store.revoke("a")
    assert store.admitted() == Admitted({}, {raw: "a"})
    assert len({empty, allowed, store.marks()}) == 3
    store.allow("b", PUBLIC)
    assert store.admitted() == Admitted({raw: "b"}, {})
    assert (store.clients.stat().st_mode & 0o777, store.folder.stat().st_mode & 0o777) == (0o700, 0o700)


def test_mistakes_of_the_operator_are_named(store: KeyStore) -> None:
    with pytest.raises(KeyFileError, match="darklane keys new"):
        store.server()
    first = store.new_server()
    with pytest.raises(KeyFileError, match="--replace"):
        store.new_server()
    assert store.new_server(replace=True) != first
    store.allow("a", PUBLIC)
    with pytest.raises(KeyFileError, match="allowed already, as 'a'"):
        store.allow("b", PUBLIC)
    with pytest.raises(KeyFileError, match="has another key"):
        store.allow("a", key_file.new_key("x").public)
    with pytest.raises(KeyFileError, match="allowed are: a"):
        store.revoke("c")
    with pytest.raises(KeyFileError, match="letters"):
        store.revoke("../server")


def test_a_folder_that_cannot_be_read_admits_nobody_and_is_said(
    store: KeyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.new_server()
    store.allow("a", PUBLIC)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    for name in ("open", "stat", "iterdir"):
        monkeypatch.setattr(Path, name, refuse)
    with pytest.raises(KeyFileError, match="cannot be read"):
        store.server()
    assert store.admitted() == Admitted()
    assert store.marks() == ((str(store.secret_file), None),)


def test_files_that_do_not_belong_there_admit_nobody(store: KeyStore) -> None:
    store.allow("a", PUBLIC)
    whole = (store.clients / "a.key").read_bytes()
    (store.clients / "b.key").write_bytes(whole)
    (store.clients / "c.key").write_bytes(key_file.render(key_file.new_key("c")).encode())
    (store.clients / "d.key").write_bytes(b"\xff" * 9000)
    (store.clients / "notes.txt").write_text("mine", encoding="utf-8")
    found = store.admitted()
    assert list(found.allowed.values()) == ["a"]
    assert len(found.damaged) == 3


# --- the command


def run(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["keys", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result.output


def test_the_command_from_new_to_revoke(tmp_path: Path) -> None:
    here: tuple[Any, ...] = ("--state-dir", tmp_path / "state")
    assert "give" in run("new", *here)
    assert "the box has a key" in run("new", *here, code=1)
    run("new", "sorter-2", "--out", tmp_path)
    assert "exists" in run("new", "sorter-2", "--out", tmp_path, code=1)
    assert "must stay with the client" in run("allow", "sorter-2", tmp_path / "sorter-2.key_secret", *here, code=1)
    run("allow", "sorter-2", tmp_path / "sorter-2.key", *here)
    run("allow", "other", PUBLIC.decode(), *here)
    run("revoke", "other", *here)
    assert "allowed are: sorter-2" in run("revoke", "other", *here, code=1)
    page = json.loads(run("list", "--json", *here))
    assert [(row["name"], row["state"]) for row in page["clients"]] == [("sorter-2", "allowed"), ("other", "revoked")]
    assert page["clients"][1]["key"] == PUBLIC.decode()
    assert page["trouble"] == []
    table = run("list", *here)
    assert page["server"] in table
    assert PUBLIC.decode() in table
    (tmp_path / "state/keys/clients/sorter-2.key").write_text("", encoding="utf-8")
    assert "sorter-2.key" in run("list", *here, code=1)


# --- the doctor


def states(*found: Any) -> list[str]:
    return [finding.state for finding in doctor.check(*found)]


def test_the_doctor_looks_at_rights_and_damage(store: KeyStore) -> None:
    offered = Gateway(feed="tcp://0.0.0.0:7150")
    assert states(Gateway(), store, ROOT) == ["grey"]
    assert states(Gateway(feed="tcp://127.0.0.1:7150", curve=False), store, ROOT) == ["amber"]
    assert states(offered, store, ROOT)[0] == "red"
    store.new_server()
    assert states(offered, store, ROOT) == ["green", "amber", "green"]
    store.allow("a", PUBLIC)
    assert states(offered, store, ROOT) == ["green", "green", "green"]
    if store.secret_file.stat().st_uid == 0:
        first = doctor.check(offered, store, NOBODY)[0]
        assert (first.state, str(store.clients) in first.says) == ("red", True)
    store.clients.chmod(0o770)
    assert states(offered, store, ROOT) == ["green", "green", "red"]
    store.secret_file.chmod(0o644)
    (store.clients / "a.key").write_text("", encoding="utf-8")
    found = doctor.check(offered, store, ROOT)
    assert [finding.state for finding in found] == ["red", "red", "red"]
    assert all(finding.do for finding in found)


# --- ZAP


def request(**changes: Any) -> list[bytes]:
    fields = {
        "version": b"1.0", "request_id": b"1", "domain": b"darklane", "address": b"10.0.0.5", "identity": b"",
        "mechanism": b"CURVE", "credentials": z85.decode(PUBLIC),
    }  # fmt: skip
    return list((fields | changes).values())


KNOWN = Admitted({z85.decode(PUBLIC): "sorter-2"}, {b"r" * 32: "old"})


def test_the_right_request_is_admitted() -> None:
    assert zap.judge(zap.decode(request()), KNOWN) == Answer(user="sorter-2")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"domain": b"darklane2"}, "wrong_domain"),
        ({"domain": b""}, "wrong_domain"),
        ({"domain": b"*"}, "wrong_domain"),
        ({"domain": b"Darklane"}, "wrong_domain"),
        ({"mechanism": b"NULL"}, "wrong_mechanism"),
        ({"mechanism": b"PLAIN"}, "wrong_mechanism"),
        ({"credentials": b"short"}, "malformed"),
        ({"credentials": b"u" * 32}, "unknown_key"),
        ({"credentials": b"r" * 32}, "revoked_key"),
    ],
)
def test_every_other_is_refused_for_its_reason(changes: dict[str, bytes], reason: str) -> None:
    answer = zap.judge(zap.decode(request(**changes)), KNOWN)
    assert (answer.user, answer.reason) == ("", reason)


@pytest.mark.parametrize(
    "frames", [[], request()[:5], request(version=b"2.0"), request(domain=b"\xff"), request(identity=b"x" * 256)]
)
def test_what_is_no_request_is_an_error(frames: list[bytes]) -> None:
    with pytest.raises(ZapError):
        zap.decode(frames)


@settings(max_examples=50)
@given(frames=st.lists(st.binary(max_size=40), max_size=9))
def test_no_other_frames_admit_anybody(frames: list[bytes]) -> None:
    try:
        found: ZapRequest = zap.decode(frames)
    except ZapError:
        return
    assert zap.judge(found, KNOWN).user == "" or frames[2:3] + frames[5:] == request()[2:3] + request()[5:]


def test_the_log_of_refusals_is_bounded_and_the_count_is_not(caplog: pytest.LogCaptureFixture) -> None:
    counts: dict[str, int] = {}
    now = [0.0]

    def count(name: str) -> None:
        counts[name] = counts.get(name, 0) + 1

    refuse = Refusals(count, logging.getLogger("refusals"), lambda: now[0])
    for _ in range(1000):
        refuse("unknown_key", "10.0.0.5", "a key that nobody allowed")
    assert counts == {"refused": 1000, "refused_unknown_key": 1000}
    assert len(caplog.records) == refusals.LINES
    now[0] = refusals.PERIOD_S
    refuse("gave_up", "", "it took too long")
    assert "a peer that was gone at once" in caplog.text
    assert "990 more were not logged" in caplog.text


# --- limits


def test_each_client_has_its_own_allowance() -> None:
    limits = Limits(10.0)
    assert [limits.take("a", 1, 0.0) for _ in range(21)] == ["yes"] * 20 + ["say"]
    assert limits.take("a", 1, 0.05) == "drop"
    assert limits.take("b", 1, 0.05) == "yes"
    assert limits.take("a", 1, 0.1) == "yes"
    assert limits.take("a", 1, 1.0) == "yes"
    assert limits.take("c", 1000, 1.0) == "yes"
    assert limits.take("c", 1, 1.0) == "say"
    # Whoever was away long has a full allowance, not more; and the memory of clients is bounded.
    assert [limits.take("a", 10, 1e6) for _ in range(3)] == ["yes", "yes", "say"]
    for number in range(2 * CLIENTS):
        limits.take(str(number), 1, 1e6)
    assert len(limits._buckets) == CLIENTS
