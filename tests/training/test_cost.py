"""What the networks cost: counts against layers worked by hand, inputs as the studies make them, the page's table."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from edge.inference.planes import PLANES
from tests.training import tiny_dataset
from training.experiments.cost import Subject, measure, multiply_accumulates, ours, paper, widths
from training.experiments.cost_table import BEGIN, END, table, with_table
from training.fit_network.inputs import Store
from training.networks.googlenet import GoogLeNet
from training.networks.grain_net import GrainNet
from training.networks.heads import CLASSES, NODES

RESULTS = Path(__file__).parents[2] / "docs" / "results"


def test_a_convolution_and_a_linear_layer_are_counted_as_by_hand() -> None:
    with torch.device("meta"):
        conv, linear = nn.Conv2d(6, 8, 3, stride=2, padding=1, groups=2), nn.Linear(8, 5)
        images, one, other = torch.empty(2, 6, 10, 12), torch.empty(3, 4), torch.empty(4, 7)
    # 2 images of 5 × 6 outputs in 8 channels, each from 3 × 3 pixels of 3 channels; one sum of 8 each for 5 outputs.
    by_hand = 2 * 5 * 6 * 8 * 3 * 3 * 3
    assert multiply_accumulates(lambda: conv(images)) == by_hand
    assert multiply_accumulates(lambda: linear(conv(images).mean((2, 3)))) == by_hand + 2 * 8 * 5
    assert multiply_accumulates(lambda: one @ other) == 3 * 4 * 7
    assert multiply_accumulates(lambda: torch.relu(images) + images) == 0


def test_our_network_costs_between_its_width_and_its_square() -> None:
    assert widths() == (24, 28, 32)
    planes = np.zeros((len(PLANES), 60, 64), np.float32)
    costs = []
    for width in widths():
        subject = ours(planes, width)
        assert subject.input == (1, len(PLANES), 64, 64), "filled up to whole cells"
        costs.append(multiply_accumulates(subject.run))
    assert 32 / 24 < costs[2] / costs[0] < (32 / 24) ** 2
    assert costs[0] < costs[1] < costs[2]
    with torch.device("meta"):
        network, larger = GrainNet(PLANES, [1.0] * len(PLANES), 24), torch.empty(1, len(PLANES), 128, 64)
    assert multiply_accumulates(lambda: network.eval()(larger)) == pytest.approx(2 * costs[0], rel=1e-6)
    stem = network.stem(larger)
    assert multiply_accumulates(lambda: network.stem(larger)) == len(PLANES) * 9 * stem.numel()


def test_the_papers_networks_are_given_what_the_studies_give_them(tmp_path: Path) -> None:
    store = Store(tiny_dataset.make(tmp_path, 2))
    one, split = paper("study1", "lite0", store), paper("study2", "lite0", store)
    assert one.input == (2, 3, 224, 3 * 224), "two crops of attenuation, dark-field and offset"
    assert split.input == (1, 4, 3, 224, 2 * 224), "four pictures, the widest of dark-field and ratio"
    counts = [multiply_accumulates(subject.run) for subject in (one, split)]
    features = 1280
    head = 2 * (features * NODES + NODES * CLASSES)
    heads = 4 * features * NODES + NODES * 3 + 4 * NODES * NODES + NODES * CLASSES
    # Two pictures of three panels against four of two: what the trunk costs goes with the panels.
    assert (counts[1] - heads) / (counts[0] - head) == pytest.approx(8 / 6, rel=1e-6)


def test_googlenet_costs_what_is_published() -> None:
    with torch.device("meta"):
        network, picture = GoogLeNet(), torch.empty(1, 3, 224, 224)
    assert multiply_accumulates(lambda: network.eval()(picture)) == pytest.approx(1.5e9, rel=0.01)  # torchvision: 1.50


def test_all_take_turns_and_what_torch_does_not_run_is_not_counted() -> None:
    ran: list[str] = []
    weight = torch.ones(3, 3)

    def one() -> object:
        ran.append("one")
        return weight @ weight

    found = measure([Subject("one", one, (3, 3)), Subject("two", lambda: ran.append("two"), (1,), counted=False)], 3)
    assert [entry["multiply_accumulates"] for entry in found] == [27, None]
    assert ran == ["one", "two", "one", "one", "two", "two", "one", "one", "two"]
    assert all(entry["seconds"] >= 0 for entry in found)


def test_the_page_holds_the_table_of_the_figures() -> None:
    figures, page = RESULTS / "cost.json", RESULTS / "README.md"
    made, text = table(json.loads(figures.read_text(encoding="utf-8")), RESULTS), page.read_text(encoding="utf-8")
    again = "python -m training.experiments.cost --report-only --page docs/results/README.md"
    assert with_table(text, made, page) == text, f"the table is old; run '{again}'"
    assert BEGIN in text
    with pytest.raises(ValueError, match="has no lines"):
        with_table(f"nothing {END}", made, page)
