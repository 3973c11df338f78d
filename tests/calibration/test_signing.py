"""Signatures: unsigned, altered, foreign and damaged ones are refused by name."""

from __future__ import annotations

import json
import shutil
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from calibration.bundle import KEYS, BundleError, load
from calibration.signing import KeyStore, SignatureError
from tests.calibration.synthetic import bundle

DIGEST = "ab" * 32


def test_a_signature_is_checked_against_content_and_key(tmp_path: Path) -> None:
    keys = KeyStore(tmp_path / "keys")
    file = tmp_path / "x.sig"
    file.write_text(keys.sign(DIGEST), encoding="ascii")
    assert keys.check("x", DIGEST, file) in keys.trusted()
    with pytest.raises(SignatureError, match=r"x does not match its signature.*altered"):
        keys.check("x", "cd" * 32, file)


def test_the_private_key_is_for_its_owner_only_and_is_kept(tmp_path: Path) -> None:
    keys = KeyStore(tmp_path)
    first, second = json.loads(keys.sign(DIGEST)), json.loads(KeyStore(tmp_path).sign(DIGEST))
    assert first == second
    assert stat.S_IMODE((tmp_path / "signing.key").stat().st_mode) == 0o600


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"key": 1, "signature": "***"}', "\x00", '{"key": "a"}'])
def test_what_is_no_signature_is_refused(tmp_path: Path, text: str) -> None:
    keys = KeyStore(tmp_path)
    keys.sign(DIGEST)
    (tmp_path / "x.sig").write_text(text, encoding="ascii")
    with pytest.raises(SignatureError, match=r"x.*signature|not in"):
        keys.check("x", DIGEST, tmp_path / "x.sig")


def test_a_damaged_key_is_named(tmp_path: Path) -> None:
    keys = KeyStore(tmp_path)
    keys.sign(DIGEST)
    (tmp_path / "trusted" / "bad.pub").write_text("zz", encoding="ascii")
    with pytest.raises(SignatureError, match=r"bad\.pub"):
        keys.trusted()
    (tmp_path / "signing.key").write_text("zz", encoding="ascii")
    with pytest.raises(SignatureError, match=r"signing\.key cannot be read"):
        keys.sign(DIGEST)


def test_bundles_unsigned_of_a_stranger_or_swapped_are_refused(tmp_path: Path) -> None:
    path = bundle(1).save(tmp_path / "a")
    signature = path.with_suffix(".sig")
    kept = signature.read_text(encoding="ascii")
    signature.unlink()
    with pytest.raises(BundleError, match="is not signed"):
        load(path)
    other = bundle(2).save(tmp_path / "b")
    shutil.copy(other, tmp_path / "a")
    shutil.copy(other.with_suffix(".sig"), tmp_path / "a")
    with pytest.raises(BundleError, match=r"not in .*trusted"):
        load(tmp_path / "a" / other.name)
    (tmp_path / "a" / other.name).with_suffix(".sig").write_text(kept, encoding="ascii")
    with pytest.raises(BundleError, match="altered"):
        load(tmp_path / "a" / other.name)
    # A key that is trusted on purpose makes the stranger's bundle good.
    shutil.copy(other.with_suffix(".sig"), tmp_path / "a")
    for key in KeyStore(tmp_path / "b" / KEYS).trusted().values():
        KeyStore(tmp_path / "a" / KEYS).trust(key)
    assert load(tmp_path / "a" / other.name).id == other.stem


def test_trusting_a_key_twice_is_one_key(tmp_path: Path) -> None:
    keys = KeyStore(tmp_path)
    public = Ed25519PrivateKey.generate().public_key()
    assert keys.trust(public) == keys.trust(public)
    assert len(keys.trusted()) == 1
