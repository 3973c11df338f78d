"""Model bundles: what is refused, and whether the message names the cause."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from calibration.signing import KeyStore
from edge.inference.bundle import GoldenVectors, ModelBundleError, golden_file, load, sha256, write
from edge.inference.card import card
from edge.inference.model_file import shipped
from edge.inference.model_folder import SHIPPED, ModelFolder
from edge.inference.network import Network, open_network
from firmware_bridge.scanner import Scanner
from tests.edge import network_bundle as tiny


def opened(path: Path, scanner: Scanner | None = None) -> Network:
    return open_network(load(path, KeyStore(path.parent / "keys")), "auto", 1, scanner or Scanner())


def test_what_was_written_is_read_and_runs(tmp_path: Path) -> None:
    path = tiny.bundle(tmp_path)
    network = opened(path)
    bundle = network.bundle
    assert path.name == bundle.id == f"net-{bundle.digest[:16]}"
    assert network.runtime.name == "onnxruntime-fp32"
    heat, score = network.runtime.run(bundle.golden.planes[:1])
    assert heat.shape == (1, 1, 4, 6)
    assert score.shape == (1, 1)
    network.runtime.close()
    assert tiny.bundle(tmp_path) == path, "the same content has the same name"


def drop_signature(path: Path) -> None:
    (path / "signature.json").unlink()


def foreign_signature(path: Path) -> None:
    manifest = (path / "manifest.json").read_bytes()
    (path / "signature.json").write_text(KeyStore(path.parent / "others").sign(sha256(manifest)), encoding="ascii")


def spoil(name: str, change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    return lambda path: tiny.altered(path, name, change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (drop_signature, "is not signed"),
        (foreign_signature, "which is not in"),
        (spoil("signature.json", lambda _: b"{}"), "is not a signature"),
        (spoil("manifest.json", lambda b: b.replace(b'"threshold": 0.5', b'"threshold": 0.9')), "it was altered"),
        (spoil("model.onnx", lambda b: b[:-1] + b"\x00"), "model.onnx hashes to .* altered or is damaged"),
        (spoil("golden.npz", lambda b: b[:100]), "golden.npz hashes to"),
        (lambda path: (path / "model.onnx").unlink(), "model.onnx cannot be read"),
        (lambda path: (path / "manifest.json").unlink(), "manifest.json cannot be read"),
    ],
)
def test_a_bundle_that_was_touched_is_refused(tmp_path: Path, change: Callable[[Path], None], message: str) -> None:
    path = tiny.bundle(tmp_path)
    change(path)
    with pytest.raises(ModelBundleError, match=message) as error:
        load(path, KeyStore(tmp_path / "keys"))
    assert str(path) in str(error.value)


def resigned(tmp_path: Path, **fields: Any) -> Path:
    """A properly signed bundle with ``fields`` of its manifest replaced, however wrong."""
    path = tiny.bundle(tmp_path)
    text = json.dumps({**json.loads((path / "manifest.json").read_text()), **fields}).encode()
    (path / "manifest.json").write_bytes(text)
    (path / "signature.json").write_text(KeyStore(tmp_path / "keys").sign(sha256(text)), encoding="ascii")
    return path


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"format": "darklane-model/9"}, "format"),
        ({"halo": 12}, "halo = 12 is not a multiple"),
        ({"inputs": {"planes": ["colour"], "row_pitch_um": 1, "grid_um": 1, "tube_kv": [80]}}, r"planes \['colour'\]"),
        ({"precision": "int8"}, "there is no such graph"),
        ({"pooling": {"window": 2}}, "window = 2 is even"),
        (
            {"graphs": {"fp32": {"file": "../x", "sha256": "0" * 64, "threshold": 0.5, "tolerance": 1}}},
            "graphs.fp32.file",
        ),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_a_manifest_that_makes_no_sense_is_refused(tmp_path: Path, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelBundleError, match=message):
        load(resigned(tmp_path, **fields), KeyStore(tmp_path / "keys"))


def made(tmp_path: Path, content: bytes, vectors: GoldenVectors, **changes: Any) -> Path:
    return tiny.bundle(tmp_path, onnx_bytes=content, vectors=vectors, **changes)


def test_a_graph_that_is_none_or_takes_other_inputs_is_refused(tmp_path: Path) -> None:
    vectors = tiny.golden(tiny.graph())
    with pytest.raises(ModelBundleError, match=r"model\.onnx: ONNX Runtime .* cannot load it"):
        opened(made(tmp_path, b"no graph at all", vectors))
    with pytest.raises(ModelBundleError, match=r"one float input 'planes' \(batch, 3, rows, columns\) is due"):
        opened(made(tmp_path, tiny.graph(planes=2), vectors))
    with pytest.raises(ModelBundleError, match=r"its outputs are \['warmth', 'score'\]"):
        opened(made(tmp_path, tiny.graph(outputs=("warmth", "score")), vectors))


def test_golden_vectors_must_be_reproduced(tmp_path: Path) -> None:
    right = tiny.golden(tiny.graph())
    other = GoldenVectors(right.planes, {"fp32": right.heat["fp32"] + 0.01}, right.score)
    with pytest.raises(ModelBundleError, match=r"heat differs by 0\.01 from the golden vectors"):
        opened(made(tmp_path, tiny.graph(), other))
    with pytest.raises(ModelBundleError, match="not what the manifest's pooling"):
        opened(made(tmp_path, tiny.graph(), right, pooling={"window": 5}))
    with pytest.raises(ModelBundleError, match="halo = 8 is smaller than what the network sees"):
        opened(made(tmp_path, tiny.graph(seed=3), tiny.golden(tiny.graph(seed=3)), halo=8))
    nan = GoldenVectors(np.full_like(right.planes, np.nan), right.heat, right.score)
    with pytest.raises(ModelBundleError, match="differs by nan"):
        opened(made(tmp_path, tiny.graph(), nan))


def test_golden_files_that_hold_something_else_are_refused(tmp_path: Path) -> None:
    right = tiny.golden(tiny.graph())
    keys = KeyStore(tmp_path / "keys")
    with pytest.raises(ModelBundleError, match=r"golden planes are \(2, 2, 32, 48\)"):
        load(made(tmp_path, tiny.graph(), tiny.golden(tiny.graph(planes=2), 2)), keys)
    with pytest.raises(ModelBundleError, match="lacks score_fp32"):
        load(made(tmp_path, tiny.graph(), GoldenVectors(right.planes, right.heat, {})), keys)
    manifest, files = tiny.content()
    files["golden.npz"] = b"PK no archive"
    broken = manifest.model_copy(
        update={"golden": manifest.golden.model_copy(update={"sha256": sha256(b"PK no archive")})}
    )
    with pytest.raises(ModelBundleError, match="is no array file"):
        load(write(tmp_path, broken, files, keys), keys)


def test_images_of_another_lane_are_refused(tmp_path: Path) -> None:
    path = tiny.bundle(tmp_path)
    with pytest.raises(ModelBundleError, match=r"trained for \(80,\) kVp, this lane runs at 120 kVp"):
        opened(path, Scanner.model_validate({"tube_kv": 120}))
    with pytest.raises(ModelBundleError, match=r"this lane's are .* \(scanner.row_binning, scanner.object_grid_um\)"):
        opened(path, Scanner.model_validate({"object_grid_um": 150.0}))


def test_tensorrt_is_not_pretended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    bundle = load(tiny.bundle(tmp_path), KeyStore(tmp_path / "keys"))
    with pytest.raises(
        ModelBundleError, match="runtime = 'tensorrt', but the Python module tensorrt cannot be imported"
    ):
        open_network(bundle, "tensorrt", 1, Scanner())


def test_files_that_differ_from_their_manifest_are_not_written(tmp_path: Path) -> None:
    manifest, files = tiny.content()
    with pytest.raises(ValueError, match=r"model\.onnx: differs"):
        write(tmp_path, manifest, {**files, "model.onnx": b""}, KeyStore(tmp_path / "keys"))
    with pytest.raises(ValueError, match=r"golden\.npz: missing"):
        write(tmp_path, manifest, {"model.onnx": files["model.onnx"]}, KeyStore(tmp_path / "keys"))


def test_an_active_role_needs_a_fusion() -> None:
    with pytest.raises(ValidationError, match="has no fusion"):
        tiny.content(fusion=None, role="active")
    assert golden_file(tiny.golden(tiny.graph()))


def test_what_ships_is_sound_and_fits_the_shipped_discriminator(tmp_path: Path) -> None:
    folder = ModelFolder(tmp_path)
    if folder.shipped_path() is None:
        pytest.skip("no network is shipped")
    network = open_network(folder.load(SHIPPED), "onnxruntime", 1, Scanner())
    assert max(len(network.bundle.graph(precision)) for precision in network.manifest.graphs) <= 5_000_000
    assert "simulated" in network.manifest.data.description
    if network.graph.fusion is not None:
        assert network.graph.fusion.material_sha256 == shipped(80).manifest.sha256


def test_the_card_says_what_the_manifest_says(tmp_path: Path) -> None:
    bundle = load(tiny.bundle(tmp_path), KeyStore(tmp_path / "keys"))
    text = card(bundle)
    assert bundle.id in text
    assert "**Simulated.**" in text
    assert "**90% found, 10% of the bags without one alarm**" in text
    assert "together, place by place" in text
    assert "by itself" not in text
    unfused = load(tiny.bundle(tmp_path, fusion=None), KeyStore(tmp_path / "keys"))
    assert "may only run as a shadow" in card(unfused)
    assert "It may run as a\nshadow only" in card(unfused)


def test_the_card_of_a_network_that_decides_alone_does_not_call_it_a_second_opinion(tmp_path: Path) -> None:
    alone = load(tiny.bundle(tmp_path, fusion=tiny.FUSION | {"material_weight": 0.0}), KeyStore(tmp_path / "keys"))
    text = card(alone)
    assert "It decides by itself" in text
    assert "second opinion" not in text
    assert "together" not in text


def test_the_shipped_card_is_up_to_date(tmp_path: Path) -> None:
    folder = ModelFolder(tmp_path)
    page = Path(__file__).parents[2] / "docs" / "reference" / "model-card.md"
    if folder.shipped_path() is None:
        pytest.skip("no network is shipped")
    assert page.read_text(encoding="utf-8") == card(folder.load(SHIPPED)), (
        "docs/reference/model-card.md is old; run 'darklane model card shipped > docs/reference/model-card.md'"
    )
