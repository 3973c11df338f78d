"""The training loop: batches by number, one seed one result, checkpoints that continue as if nothing had happened."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from training.fit_network import checkpoint, optimise
from training.fit_network.presets import Optimiser

#: Loss of a batch; the generator is the batch's own and the same in every run.
BatchLoss = Callable[[np.random.Generator, int], Tensor]


@dataclass(frozen=True)
class Progress:
    """After batch ``step`` of ``steps``: mean loss since the last report, and seconds since the start."""

    step: int
    steps: int
    loss: float
    seconds: float


Report = Callable[[Progress], None]


@dataclass(frozen=True)
class Plan:
    """``save``: file of the checkpoint, None for none; ``every``: steps between checkpoints and reports.

    ``identity``: what the training is of; a checkpoint of another one is refused.
    """

    steps: int
    optimiser: Optimiser
    seed: int
    identity: str
    save: Path | None = None
    every: int = 25


def identity(name: str, seed: int, *what: object) -> str:
    """What a training is of, in words and as a hash over everything that decides its result."""
    return f"{name}, seed {seed}, {hashlib.sha256(repr(what).encode()).hexdigest()[:16]}"


def generator(seed: int, step: int) -> np.random.Generator:
    """Randomness belongs to the batch, not to the history: a resumed run draws what a whole one would."""
    return np.random.default_rng([seed, step, 0xBA7C])


def run(network: nn.Module, loss_of: BatchLoss, plan: Plan, report: Report | None = None) -> list[float]:
    """Train ``network`` in place; returns the loss of every batch that was run in this call.

    Same seed, thread count and machine without a GPU: the same weights to the last bit, in one run or in several.
    """
    optimiser = optimise.build(plan.optimiser, network.parameters())
    start = checkpoint.resume(plan.save, plan.identity, network, optimiser) if plan.save else 0
    began, losses, since = time.monotonic(), [], 0
    torch.backends.cudnn.benchmark = True  # batches are all of one size; without a GPU it means nothing
    network.train()
    for step in range(start, plan.steps):
        torch.manual_seed(plan.seed * 1_000_003 + step)
        for group in optimiser.param_groups:
            group["lr"] = optimise.rate(plan.optimiser, step, plan.steps)
        optimiser.zero_grad(set_to_none=True)
        loss = loss_of(generator(plan.seed, step), step)
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
        if not np.isfinite(losses[-1]):
            raise FloatingPointError(f"{plan.identity}: loss of batch {step} is {losses[-1]}; lower the learning rate")
        done = step + 1
        if done % plan.every == 0 or done == plan.steps:
            if plan.save:
                checkpoint.save(plan.save, plan.identity, network, optimiser, done)
            if report:
                report(Progress(done, plan.steps, float(np.mean(losses[since:])), time.monotonic() - began))
            since = len(losses)
    torch.backends.cudnn.benchmark = False
    network.eval()
    return losses
