"""The paper's classifiers on top of a trunk: type I (layers of 640 nodes) and type II (texture beside it)."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

#: Nodes of each fully connected layer [P].
NODES = 640
#: Classes of the Describable Textures Dataset [P].
TEXTURES = 47
#: Explosive or not; 1 is explosive.
CLASSES = 2


class Trunk(Protocol):
    """What a head needs of a network."""

    features_out: int

    def features(self, x: Tensor) -> Tensor:
        """Feature vector (N, features_out) of images (N, 3, rows, columns)."""


class TypeOneHead(nn.Module):
    """``layers`` fully connected layers of 640 nodes with ReLU and dropout on a feature vector, then the outputs.

    With ``layers`` = 1 this is the paper's best type I network: trunk, 640 nodes, two outputs.
    """

    def __init__(self, features: int, layers: int = 1, classes: int = CLASSES, dropout: float = 0.5) -> None:
        super().__init__()
        if layers not in (1, 2, 3):
            raise ValueError(f"layers = {layers}: the paper's heads have 1, 2 or 3 fully connected layers")
        steps: list[nn.Module] = []
        for k in range(layers):
            steps += [nn.Linear(features if k == 0 else NODES, NODES), nn.ReLU(), nn.Dropout(dropout)]
        self.hidden = nn.Sequential(*steps)
        self.out = nn.Linear(NODES, classes)

    def forward(self, features: Tensor) -> Tensor:
        """Outputs (N, classes) of features (N, F)."""
        return self.out(self.hidden(features))


class TypeTwoHead(nn.Module):
    """Type I's 640-vector and the 47 outputs of a texture network side by side: (640 + 47) to the outputs."""

    def __init__(self, features: int, layers: int = 1, classes: int = CLASSES, dropout: float = 0.5) -> None:
        super().__init__()
        self.hidden = TypeOneHead(features, layers, classes, dropout).hidden
        self.out = nn.Linear(NODES + TEXTURES, classes)

    def forward(self, features: Tensor) -> Tensor:
        """Outputs (N, classes) of (N, F + 47): the trunk's features, then the texture network's outputs."""
        trunk, textures = features[:, :-TEXTURES], features[:, -TEXTURES:]
        return self.out(torch.cat([self.hidden(trunk), textures], 1))


class TypeOne(nn.Module):
    """Trunk and type I head, trained end to end."""

    def __init__(self, trunk: Trunk, layers: int = 1, classes: int = CLASSES, dropout: float = 0.5) -> None:
        super().__init__()
        self.trunk = trunk
        self.head = TypeOneHead(trunk.features_out, layers, classes, dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Outputs (N, classes)."""
        return self.head(self.trunk.features(x))


class TypeTwo(nn.Module):
    """Trunk, texture network with 47 outputs, and type II head.

    ``texture`` is trained beforehand on textures (sigmoid cross-entropy, because an image may hold several) and stays
    as it is.
    """

    def __init__(
        self, trunk: Trunk, texture: nn.Module, layers: int = 1, classes: int = CLASSES, dropout: float = 0.5
    ) -> None:
        super().__init__()
        self.trunk, self.texture = trunk, texture
        self.texture.requires_grad_(False)
        self.head = TypeTwoHead(trunk.features_out, layers, classes, dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Outputs (N, classes)."""
        return self.head(torch.cat([self.trunk.features(x), self.texture(x)], 1))
