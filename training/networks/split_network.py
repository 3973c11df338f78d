"""The stacked split network of study 2: first which electrical item, then explosive or not.

The first stack sees the attenuation image and learns to separate the items; the second stack of three networks sees
dark-field and ratio images and takes the first one's features with its own. Trained end to end with the softmax loss on
both answers. The paper does not print how the stacks are joined: features of 640 nodes each, concatenated, are ours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from training.networks.heads import CLASSES, NODES, Trunk
from training.networks.losses import softmax

#: What the first stack separates [P]; class numbers are positions.
ITEMS = ("laptop", "phone", "hair_dryer")
#: Networks of the second stack [P].
SECOND = 3


class SplitHead(nn.Module):
    """What comes after the four trunks: (N, 4, F) features to outputs and items. Usable on features kept beforehand."""

    def __init__(self, features: int, dropout: float = 0.5) -> None:
        super().__init__()

        def reduce() -> nn.Sequential:
            return nn.Sequential(nn.Linear(features, NODES), nn.ReLU(), nn.Dropout(dropout))

        self.first = reduce()
        self.items = nn.Linear(NODES, len(ITEMS))
        self.second = nn.ModuleList(reduce() for _ in range(SECOND))
        self.join = nn.Sequential(nn.Linear(NODES * (1 + SECOND), NODES), nn.ReLU(), nn.Dropout(dropout))
        self.out = nn.Linear(NODES, CLASSES)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs (N, 2) and item outputs (N, 3) of features (N, 1 + SECOND, F)."""
        first = self.first(features[:, 0])
        rest = [layer(features[:, 1 + k]) for k, layer in enumerate(self.second)]
        return self.out(self.join(torch.cat([first, *rest], 1))), self.items(first)


class SplitNetwork(nn.Module):
    """Four trunks made by ``trunk``, and the head; images (N, 4, 3, rows, columns)."""

    def __init__(self, trunk: Callable[[], Trunk], dropout: float = 0.5) -> None:
        super().__init__()
        trunks = [trunk() for _ in range(1 + SECOND)]
        self.trunks = nn.ModuleList(trunks)
        self.head = SplitHead(trunks[0].features_out, dropout)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs (N, 2) and item outputs (N, 3)."""
        features = [trunk.features(images[:, k]) for k, trunk in enumerate(self.trunks)]
        outputs: tuple[Tensor, Tensor] = self.head(torch.stack(features, 1))
        return outputs


def loss(outputs: tuple[Tensor, Tensor], labels: Tensor, items: Tensor) -> Tensor:
    """Softmax loss of the answer plus that of the item; ``items`` (N,) below 0 are images of no known item."""
    answer, item = outputs
    known = items >= 0
    total = softmax(answer, labels)
    return total + softmax(item[known], items[known]) if bool(known.any()) else total


def item_number(kind: str) -> int:
    """Class number of a scene's kind, −1 when it is none of the items."""
    names: Sequence[str] = ITEMS
    return names.index(kind) if kind in names else -1
