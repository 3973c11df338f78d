"""Ed25519 signatures of bundles: who made them, and that nobody changed them since.

One folder holds the box's own key (``signing.key``, readable by its owner only) and the public keys it trusts
(``trusted/<key id>.pub``, 32 raw bytes in hexadecimal). A key id is the first 16 hex digits of the key's SHA-256.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

#: Says what is signed, so that a signature of something else never passes for one of a bundle.
_CONTEXT = b"darklane bundle\n"
_KEY_BYTES = 32


class SignatureError(ValueError):
    """A signature is missing, of an unknown key, or wrong; the message names the file and what to do."""


def key_id(key: Ed25519PublicKey) -> str:
    """Short name of a public key."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[:16]


class KeyStore:
    """Keys in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._private = folder / "signing.key"
        self._trusted = folder / "trusted"

    def sign(self, digest: str) -> str:
        """Signature file for the content with this SHA-256 (hex); makes the box's key when it has none."""
        key = self._signing_key()
        signature = key.sign(_CONTEXT + digest.encode("ascii"))
        return json.dumps({"key": key_id(key.public_key()), "signature": base64.b64encode(signature).decode("ascii")})

    def check(self, name: str, digest: str, signature_file: Path) -> str:
        """Id of the trusted key that signed ``digest``; :class:`SignatureError` names ``name`` otherwise."""
        try:
            found = json.loads(signature_file.read_text(encoding="ascii"))
            signer, signature = str(found["key"]), base64.b64decode(found["signature"], validate=True)
        except FileNotFoundError:
            raise SignatureError(f"{name} is not signed ({signature_file.name} is missing); make it again") from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SignatureError(f"{name}: {signature_file.name} is not a signature ({error})") from error
        key = self.trusted().get(signer)
        if key is None:
            raise SignatureError(
                f"{name} was signed with key {signer:.40}, which is not in {self._trusted}; "
                "put its .pub file there if you trust it"
            )
        try:
            key.verify(signature, _CONTEXT + digest.encode("ascii"))
        except InvalidSignature:
            raise SignatureError(f"{name} does not match its signature of key {signer}; it was altered") from None
        return signer

    def trusted(self) -> dict[str, Ed25519PublicKey]:
        """Trusted public keys by id; a damaged file is a :class:`SignatureError`."""
        keys = {}
        for path in sorted(self._trusted.glob("*.pub")):
            try:
                raw = bytes.fromhex(path.read_text(encoding="ascii").strip())
                key = Ed25519PublicKey.from_public_bytes(raw)
            except (OSError, ValueError) as error:
                raise SignatureError(f"{path}: not {_KEY_BYTES} bytes in hexadecimal ({error}); remove it") from error
            keys[key_id(key)] = key
        return keys

    def trust(self, key: Ed25519PublicKey) -> str:
        """Trust ``key`` from now on; returns its id."""
        self._trusted.mkdir(parents=True, exist_ok=True)
        name = key_id(key)
        (self._trusted / f"{name}.pub").write_text(key.public_bytes_raw().hex() + "\n", encoding="ascii")
        return name

    def _signing_key(self) -> Ed25519PrivateKey:
        try:
            return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(self._private.read_text(encoding="ascii")))
        except FileNotFoundError:
            pass
        except (OSError, ValueError) as error:
            raise SignatureError(f"{self._private} cannot be read ({error}); restore it or remove it") from error
        key = Ed25519PrivateKey.generate()
        self.folder.mkdir(parents=True, exist_ok=True)
        # Never readable by others, not even for a moment; O_EXCL: two makers must not overwrite each other.
        handle = os.open(self._private, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(key.private_bytes_raw().hex())
        self.trust(key.public_key())
        return key
