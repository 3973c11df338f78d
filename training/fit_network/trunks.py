"""Trunks of the paper's networks with their weights, and the scale of pictures that each was trained with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from training.fit_network.presets import TrunkName
from training.networks.googlenet import IMAGENET_MEAN, IMAGENET_SD, GoogLeNet
from training.networks.inception_resnet_v2 import InceptionResNetV2
from training.networks.lite0 import Lite0
from training.networks.weights import Weights, load

BUILDERS: dict[TrunkName, Callable[[], nn.Module]] = {
    "googlenet": GoogLeNet,
    "inception_resnet_v2": InceptionResNetV2,
    "lite0": Lite0,
}


class Scaled(nn.Module):
    """A trunk that takes pictures of 0 to 1."""

    def __init__(self, name: TrunkName, trunk: nn.Module) -> None:
        super().__init__()
        self.trunk = trunk
        self.features_out, self.input_size = trunk.features_out, trunk.input_size
        mean, sd = {
            "googlenet": (IMAGENET_MEAN, IMAGENET_SD),
            "inception_resnet_v2": ((0.5,) * 3, (0.5,) * 3),
            "lite0": ((127 / 255,) * 3, (128 / 255,) * 3),
        }[name]
        self.register_buffer("_mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("_sd", torch.tensor(sd).view(1, 3, 1, 1), persistent=False)

    def scaled(self, pictures: Tensor) -> Tensor:
        """Pictures as the trunk was trained with."""
        return (pictures - self._mean) / self._sd

    def features(self, pictures: Tensor) -> Tensor:
        """Feature vectors (N, features_out) of pictures (N, 3, rows, columns)."""
        return self.trunk.features(self.scaled(pictures))


def trunk(name: TrunkName, place: Path | None, seed: int) -> tuple[Scaled, Weights]:
    """The trunk with weights from ``place`` (file or folder), else what can be had, else random ones of ``seed``."""
    torch.manual_seed(seed)
    network = BUILDERS[name]()
    weights = load(network, name, place, seed)
    return Scaled(name, network).eval(), weights
