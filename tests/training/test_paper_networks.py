"""The paper's networks: names and sizes of the public weight files, loading, heads."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from training.networks import heads, split_network, weights  # noqa: E402
from training.networks.googlenet import GoogLeNet  # noqa: E402
from training.networks.inception_resnet_v2 import InceptionResNetV2  # noqa: E402
from training.networks.lite0 import Lite0  # noqa: E402

#: As torchvision and timm give them for the public networks.
PARAMETERS = {"googlenet": 6_624_904, "googlenet with auxiliaries": 13_004_888, "inception_resnet_v2": 55_843_464}
#: A few names of each public file with the shapes of their tensors.
GOOGLENET = {
    "conv1.conv.weight": (64, 3, 7, 7),
    "conv3.bn.running_var": (192,),
    "inception3a.branch1.conv.weight": (64, 192, 1, 1),
    "inception4d.branch2.1.conv.weight": (288, 144, 3, 3),
    "inception4e.branch3.1.conv.weight": (128, 32, 3, 3),
    "inception5b.branch4.1.bn.bias": (128,),
    "fc.weight": (1000, 1024),
}
INCEPTION = {
    "conv2d_1a.conv.weight": (32, 3, 3, 3),
    "conv2d_4a.bn.weight": (192,),
    "mixed_5b.branch1.1.conv.weight": (64, 48, 5, 5),
    "mixed_5b.branch3.1.conv.weight": (64, 192, 1, 1),
    "repeat.9.branch2.2.conv.weight": (64, 48, 3, 3),
    "repeat.0.conv2d.bias": (320,),
    "mixed_6a.branch1.2.conv.weight": (384, 256, 3, 3),
    "repeat_1.19.branch1.1.conv.weight": (160, 128, 1, 7),
    "mixed_7a.branch2.2.conv.weight": (320, 288, 3, 3),
    "repeat_2.8.branch1.2.conv.weight": (256, 224, 3, 1),
    "block8.conv2d.weight": (2080, 448, 1, 1),
    "conv2d_7b.bn.running_mean": (1536,),
    "classif.weight": (1000, 1536),
}


def _count(network: object) -> int:
    return sum(weight.numel() for weight in network.parameters())  # type: ignore[attr-defined]


def test_googlenet_has_the_names_of_torchvisions_file() -> None:
    network = GoogLeNet()
    shapes = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    assert shapes.items() >= GOOGLENET.items()
    assert _count(network) == PARAMETERS["googlenet"]
    auxiliary = GoogLeNet(auxiliary=True)
    assert _count(auxiliary) == PARAMETERS["googlenet with auxiliaries"]
    # The public file holds the auxiliary classifiers; a network without them takes it.
    weights.fit(network, auxiliary.state_dict(), "public file")


def test_inception_resnet_has_the_names_of_timms_file() -> None:
    with torch.device("meta"):
        network = InceptionResNetV2()
    shapes = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    assert shapes.items() >= INCEPTION.items()
    assert _count(network) == PARAMETERS["inception_resnet_v2"]


def test_trunks_run_on_small_images() -> None:
    with torch.inference_mode():
        assert GoogLeNet().eval()(torch.zeros(1, 3, 64, 64)).shape == (1, 1000)
        with torch.device("meta"):  # drawing 55 million random numbers would take longer than everything else
            large = InceptionResNetV2(classes=3)
        assert large.to_empty(device="cpu").eval()(torch.zeros(1, 3, 75, 75)).shape == (1, 3)
        assert Lite0().eval().statistics(torch.zeros(1, 3, 64, 64)).shape == (1, 224)


def test_googlenets_input_is_transformed_as_its_weights_expect() -> None:
    # Black, normalised as for ImageNet, must come out as −1.
    network = GoogLeNet()
    seen: list[object] = []
    network.conv1.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    black = -torch.tensor([0.485 / 0.229, 0.456 / 0.224, 0.406 / 0.225]).view(1, 3, 1, 1).expand(1, 3, 32, 32)
    with torch.inference_mode():
        network.eval()(black)
    assert torch.allclose(seen[0], torch.full_like(black, -1.0), atol=1e-6)


def test_weights_of_the_stand_in_are_real_where_the_package_is_there() -> None:
    pytest.importorskip(weights.LITE0_PACKAGE)
    network = Lite0()
    loaded = weights.load(network, "lite0", None, 0)
    assert loaded.source.startswith("package")
    assert len(loaded.sha256) == 64


def test_weights_from_a_file_or_folder_and_what_does_not_fit(tmp_path: Path) -> None:
    file = tmp_path / "efficientnet-lite0-mine.pth"
    torch.save(Lite0(classes=5).state_dict(), file)
    network = Lite0(classes=5)
    assert weights.load(network, "lite0", tmp_path, 0).source == f"file {file.name}"
    with pytest.raises(weights.WeightsError, match=r"shapes differ \(_fc.bias"):
        weights.load(Lite0(classes=6), "lite0", file, 0)
    with pytest.raises(weights.WeightsError, match=r"keys missing.*keys unknown.*of another network"):
        weights.load(GoogLeNet(), "googlenet", file, 0)
    with pytest.raises(weights.WeightsError, match="holds 0 files named googlenet"):
        weights.load(GoogLeNet(), "googlenet", tmp_path, 0)
    (tmp_path / "googlenet.pth").write_bytes(b"no tensors")
    with pytest.raises(weights.WeightsError, match="not a file of tensors"):
        weights.load(GoogLeNet(), "googlenet", tmp_path, 0)
    assert weights.load(Lite0(), "googlenet", None, 3).source == "none: random, seed 3"


def test_cadenes_names_and_a_background_class_are_taken() -> None:
    class Small(nn.Module):
        def __init__(self, classes: int) -> None:
            super().__init__()
            self.classif = nn.Linear(4, classes)

    source = Small(11).state_dict()
    network = Small(10)
    weights.fit(network, source, "with background")
    assert torch.equal(network.classif.weight, source["classif.weight"][1:])
    assert weights.RENAMED["last_linear.weight"] == "classif.weight"


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_type_one_head_has_as_many_640_node_layers_as_asked(layers: int) -> None:
    head = heads.TypeOneHead(100, layers)
    linear = [module for module in head.modules() if isinstance(module, nn.Linear)]
    assert [module.out_features for module in linear] == [640] * layers + [2]
    assert head(torch.zeros(3, 100)).shape == (3, 2)


def test_other_numbers_of_layers_are_refused() -> None:
    with pytest.raises(ValueError, match="layers = 4"):
        heads.TypeOneHead(100, 4)


def test_type_two_head_joins_640_features_and_47_textures() -> None:
    head = heads.TypeTwoHead(100)
    assert head.out.in_features == 640 + 47
    head.eval()
    textures = torch.zeros(1, 147)
    textures[0, -1] = 1.0
    assert not torch.equal(head(textures), head(torch.zeros(1, 147)))


def test_split_network_sends_gradients_into_all_four_trunks() -> None:
    class Tiny(nn.Module):
        features_out = 6

        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Conv2d(3, 6, 3)

        def features(self, x: object) -> object:
            return self.layer(x).mean((2, 3))

    network = split_network.SplitNetwork(Tiny)
    outputs = network(torch.rand(2, 4, 3, 8, 8))
    assert [tuple(output.shape) for output in outputs] == [(2, 2), (2, 3)]
    items = torch.tensor([split_network.item_number(kind) for kind in ("phone", "bag")])
    assert items.tolist() == [1, -1]
    split_network.loss(outputs, torch.tensor([0, 1]), items).backward()
    assert all(trunk.layer.weight.grad.abs().sum() > 0 for trunk in network.trunks)
