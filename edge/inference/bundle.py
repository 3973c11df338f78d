"""A model bundle: a folder with manifest, ONNX graphs, golden vectors and a signature; immutable, named by its content.

Nothing in it is executed but the graphs: JSON, ONNX and plain arrays. See docs/reference/models.md.
"""

from __future__ import annotations

import hashlib
import io
import shutil
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from calibration.signing import KeyStore, SignatureError
from edge.inference.manifest import Manifest, Precision
from kernels.types import F32

MANIFEST = "manifest.json"
SIGNATURE = "signature.json"
PREFIX = "net-"
#: No file of a bundle is larger: it is read whole.
MAX_BYTES = 256 << 20


class ModelBundleError(ValueError):
    """A bundle cannot be used; the message names the bundle, what is wrong and what to do."""


@dataclass(frozen=True)
class GoldenVectors:
    """Planes (n, C, rows, columns) float32 with the heat and score that each graph gives for them."""

    planes: F32
    heat: Mapping[Precision, F32]
    score: Mapping[Precision, F32]


@dataclass(frozen=True)
class ModelBundle:
    """A verified bundle, in memory: what is on disk may change afterwards, what runs does not."""

    id: str
    digest: str
    signer: str
    origin: Path
    manifest: Manifest
    files: Mapping[str, bytes]
    golden: GoldenVectors

    def graph(self, precision: Precision) -> bytes:
        """The ONNX file of one precision."""
        return self.files[self.manifest.graphs[precision].file]

    @property
    def size(self) -> int:
        """Bytes of all graphs."""
        return sum(len(self.graph(precision)) for precision in self.manifest.graphs)


def write(folder: Path, manifest: Manifest, files: Mapping[str, bytes], keys: KeyStore) -> Path:
    """Write and sign ``<folder>/<id>``; returns its path. The digests of ``manifest`` must be those of ``files``.

    ValueError names a file that is missing or differs.
    """
    for name, expected in manifest.file_digests().items():
        if sha256(files.get(name, b"")) != expected:
            raise ValueError(f"{name}: {'differs from its digest in the manifest' if name in files else 'missing'}")
    content = manifest.model_dump_json(indent=1).encode()
    digest = sha256(content)
    path = folder / _id(digest)
    part = path.with_name(path.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    for name in manifest.file_digests():
        (part / name).write_bytes(files[name])
    (part / MANIFEST).write_bytes(content)
    (part / SIGNATURE).write_text(keys.sign(digest), encoding="ascii")
    shutil.rmtree(path, ignore_errors=True)
    part.replace(path)
    return path


def load(path: Path, keys: KeyStore) -> ModelBundle:
    """Read and check a whole bundle: signature first, then the digest of every file, then what they hold.

    :class:`ModelBundleError` when it is unsigned, altered, corrupt, or made for other software.
    """
    content = _read(path, MANIFEST)
    digest = sha256(content)
    try:
        signer = keys.check(str(path), digest, path / SIGNATURE)
    except SignatureError as error:
        raise ModelBundleError(str(error)) from error
    try:
        manifest = Manifest.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "content"
        raise ModelBundleError(
            f"{path}: {MANIFEST}: {where}: {first['msg']}; this software cannot use it, train it again"
        ) from error
    files = {name: _read(path, name) for name in manifest.file_digests()}
    for name, expected in manifest.file_digests().items():
        found = sha256(files[name])
        if found != expected:
            raise ModelBundleError(
                f"{path}: {name} hashes to {found[:16]}…, the manifest says {expected[:16]}…; it was altered or is "
                "damaged, copy the bundle again"
            )
    golden = _golden(path, manifest, files[manifest.golden.file])
    return ModelBundle(_id(digest), digest, signer, path, manifest, files, golden)


def golden_file(golden: GoldenVectors) -> bytes:
    """The content of ``golden.npz``."""
    buffer = io.BytesIO()
    arrays = {f"heat_{name}": heat for name, heat in golden.heat.items()}
    arrays |= {f"score_{name}": score for name, score in golden.score.items()}
    np.savez_compressed(buffer, planes=golden.planes, **arrays)  # type: ignore[arg-type]  # stubs: allow_pickle
    return buffer.getvalue()


def sha256(content: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def _id(digest: str) -> str:
    return f"{PREFIX}{digest[:16]}"


def _read(path: Path, name: str) -> bytes:
    try:
        size = (path / name).stat().st_size
        if size > MAX_BYTES:
            raise ModelBundleError(f"{path}: {name} has {size} bytes, more than {MAX_BYTES}; it is no model bundle")
        return (path / name).read_bytes()
    except OSError as error:
        raise ModelBundleError(f"{path}: {name} cannot be read ({error.strerror}); copy the bundle again") from error


def _golden(path: Path, manifest: Manifest, content: bytes) -> GoldenVectors:
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            arrays = {name: np.asarray(file[name], np.float32) for name in file.files}
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise ModelBundleError(f"{path}: {manifest.golden.file} is no array file ({error})") from error
    planes = arrays.get("planes")
    if planes is None or planes.ndim != 4 or planes.shape[1] != len(manifest.inputs.planes):
        shape = None if planes is None else planes.shape
        raise ModelBundleError(
            f"{path}: golden planes are {shape}, expected (n, {len(manifest.inputs.planes)}, rows, columns)"
        )
    missing = [f"{k}_{p}" for p in manifest.graphs for k in ("heat", "score") if f"{k}_{p}" not in arrays]
    if missing:
        raise ModelBundleError(f"{path}: {manifest.golden.file} lacks {', '.join(missing)}")
    heat = {name: arrays[f"heat_{name}"] for name in manifest.graphs}
    score = {name: arrays[f"score_{name}"] for name in manifest.graphs}
    return GoldenVectors(planes, heat, score)
