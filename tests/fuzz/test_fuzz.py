"""A small part of the fuzzing on every run: seeds, random damage to them, damaged packets of the belt controller."""

import importlib
import random
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz import feed_mutations
from tests.fuzz.guided import TARGETS
from tests.fuzz.mutations import CAMPAIGNS, MUTATIONS


def load(name: str) -> tuple[tuple[bytes, ...], Callable[[bytes], None]]:
    target = importlib.import_module(f"tests.fuzz.{name}")
    return target.SEEDS, target.one_input


@pytest.mark.parametrize("name", TARGETS)
def test_target_survives_its_seeds_and_damage_to_them(name: str) -> None:
    seeds, one_input = load(name)
    rng = random.Random(20)  # noqa: S311
    for seed in seeds:
        one_input(seed)
    for _ in range(100):
        data = bytearray(rng.choice(seeds))
        for _ in range(rng.randrange(1, 4)):
            if data:
                rng.choice(MUTATIONS)(rng, data)
        one_input(bytes(data))


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(how=st.integers(0, 2), data=st.binary(max_size=400))
def test_target_survives_any_bytes(name: str, how: int, data: bytes) -> None:
    _, one_input = load(name)
    one_input(bytes([how]) + data)


def test_no_damaged_packet_of_the_belt_controller_is_accepted() -> None:
    tally = CAMPAIGNS["belt controller (CRC-32)"].run(40_000, seed=2)
    assert tally.wrong == []
    assert tally.rejected > 0.9 * tally.mutations
    assert tally.rejected + tally.intact + tally.same == tally.mutations


def test_damage_finds_a_weak_checksum() -> None:
    """The campaign can see: the six bits of the x-ray generator's protocol let some damage pass."""
    assert CAMPAIGNS["x-ray generator (6-bit sum)"].run(5_000, seed=2).wrong


@pytest.mark.parametrize(("name", "count"), [("client", 3000), ("recording", 300), ("dicos", 100)])
@pytest.mark.filterwarnings("ignore")  # pydicom warns about what it reads; here all of it is damaged
def test_damaged_messages_recordings_and_files_break_no_client(name: str, count: int) -> None:
    refused, read = feed_mutations.run(name, count, seed=2)
    assert refused > count // 10
    assert refused + read == count
