"""Wire: what was sent comes back, and nothing else gets through."""

from __future__ import annotations

import contextlib
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge import wire
from edge.messages import DeviceEvent, DeviceEventKind, ImageSlab, Slab
from edge.wire import WireError
from tests.edge.golden import make

SAMPLES = {message.schema_id: (message, arrays) for message, arrays in make.samples()}


def sent(schema_id: str) -> list[bytes]:
    return [bytes(frame) for frame in wire.encode("topic", *SAMPLES[schema_id])]


@given(columns=st.integers(0, 5), rows=st.integers(0, 4), seed=st.integers(0, 2**32))
def test_arrays_come_back_bit_for_bit(columns: int, rows: int, seed: int) -> None:
    rng = np.random.default_rng(seed)

    def array(*shape: int) -> Any:
        # Any bit pattern, not-a-number included.
        return rng.integers(0, 2**32, shape, dtype=np.uint32).view(np.float32)

    slab = Slab(bag_id="b", index=0, column0=0, columns=columns, rows=rows, grid_um=1, origin_um=0, bag_from_um=0)
    arrays = {
        "phase_sums": array(4, 2, rows, columns),
        "weights": array(128, columns),
        "weights_sq": array(128, columns),
    }
    topic, message, read = wire.decode(wire.encode("slab", slab, arrays), Slab)
    assert (topic, message) == ("slab", slab)
    for name, value in arrays.items():
        assert read[name].shape == value.shape
        assert read[name].tobytes() == value.tobytes()
        assert not read[name].flags.writeable


def test_a_view_is_sent_in_c_order() -> None:
    slab, arrays = SAMPLES["slab/1"]
    turned = {name: np.asfortranarray(value) for name, value in arrays.items()}
    assert [bytes(f) for f in wire.encode("topic", slab, turned)] == sent("slab/1")


def test_arrays_must_be_the_declared_ones() -> None:
    slab, arrays = SAMPLES["slab/1"]
    with pytest.raises(ValueError, match="carries arrays"):
        wire.encode("slab", slab, {"phase_sums": arrays["phase_sums"]})
    with pytest.raises(ValueError, match="dtype complex128"):
        wire.encode("slab", slab, {**arrays, "weights": np.zeros(3, np.complex128)})


def test_another_message_than_expected_is_refused() -> None:
    with pytest.raises(WireError, match="expected ImageSlab, got Slab"):
        wire.decode(sent("slab/1"), ImageSlab)


def test_not_finite_numbers_cross_the_wire() -> None:
    assessment, _ = SAMPLES["assessment/1"]
    thing = assessment.model_dump()["objects"][0] | {"features": {"R_df": float("nan"), "x": float("inf")}}
    changed = assessment.model_validate({**assessment.model_dump(), "objects": [thing]})
    _, message, _ = wire.decode_any(wire.encode("t", changed))
    features = message.model_dump()["objects"][0]["features"]
    assert np.isnan(features["R_df"])
    assert features["x"] == float("inf")


@given(st.lists(st.binary(max_size=60), max_size=5))
def test_any_bytes_give_a_message_or_a_wire_error(frames: list[bytes]) -> None:
    with pytest.raises(WireError):
        wire.decode_any(frames)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@given(schema_id=st.sampled_from(sorted(SAMPLES)), data=st.data())
def test_any_header_value_gives_a_message_or_a_wire_error(schema_id: str, data: st.DataObject) -> None:
    frames = sent(schema_id)
    header = msgpack.unpackb(frames[1])
    key = data.draw(st.sampled_from([*sorted(header), "arrays"]))
    header[key] = data.draw(JSON)
    with contextlib.suppress(WireError):
        wire.decode_any([frames[0], msgpack.packb(header), *frames[2:]])


@given(schema_id=st.sampled_from(sorted(SAMPLES)), position=st.integers(0, 10_000), value=st.integers(0, 255))
def test_any_damaged_header_byte_gives_a_message_or_a_wire_error(schema_id: str, position: int, value: int) -> None:
    frames = sent(schema_id)
    damaged = bytearray(frames[1])
    damaged[position % len(damaged)] = value
    with contextlib.suppress(WireError):
        wire.decode_any([frames[0], bytes(damaged), *frames[2:]])


@pytest.mark.parametrize(
    ("described", "says"),
    [
        ([{"name": "phase_sums", "dtype": "|O", "shape": [1]}], "not allowed"),
        ([{"name": "phase_sums", "dtype": "<f4", "shape": [-1]}], "not allowed"),
        ([{"name": "phase_sums", "dtype": "<f4", "shape": [True]}], "not allowed"),
        ([{"name": "phase_sums", "dtype": "<f4", "shape": [1 << 24] * 5}], "needs"),
        ([{"name": "phase_sums", "dtype": "<f4", "shape": [2]}], "needs 8"),
        ([{"name": "phase_sums", "dtype": ["<f4"], "shape": [1]}], "not a map"),
        ([{"name": "phase_sums", "dtype": "<f4"}], "not a map"),
        (["phase_sums"], "not a map"),
        ("phase_sums", "describes"),
        ([], "describes"),
        ([{"name": "weights", "dtype": "<f4", "shape": [1]}], "needs arrays"),
    ],
)
def test_wrong_array_descriptions_are_refused(described: Any, says: str) -> None:
    frames = sent("slab/1")
    header = msgpack.unpackb(frames[1]) | {"arrays": described}
    with pytest.raises(WireError, match=says):
        wire.decode_any([frames[0], msgpack.packb(header), b"\0" * 4])


def test_limits_and_shapes_of_a_message() -> None:
    with pytest.raises(WireError, match="topic and header"):
        wire.decode_any([b"topic"])
    with pytest.raises(WireError, match="larger than"):
        wire.decode_any([b"topic", bytes(wire.MAX_HEADER_BYTES + 1)])
    with pytest.raises(WireError, match="not a map"):
        wire.decode_any([b"topic", msgpack.packb([1])])
    with pytest.raises(WireError, match="cannot be read"):
        wire.decode_any([b"\xff", msgpack.packb({})])
    deep = msgpack.packb(1)
    for _ in range(5000):
        deep = b"\x91" + deep
    with pytest.raises(WireError, match="cannot be read"):
        wire.decode_any([b"t", deep])
    unknown = msgpack.packb({"schema_id": "slab/2"})
    with pytest.raises(WireError, match="schema_id"):
        wire.decode_any([b"t", unknown])


def test_a_bag_id_that_could_name_another_file_is_refused() -> None:
    frames = sent("slab/1")
    header = msgpack.unpackb(frames[1]) | {"bag_id": "../../etc/passwd"}
    with pytest.raises(WireError, match="bag_id"):
        wire.decode_any([frames[0], msgpack.packb(header), *frames[2:]])


def test_text_of_any_alphabet_crosses() -> None:
    event = DeviceEvent(kind=DeviceEventKind.INTERLOCK, bag_tag="行李 ü", detail="\n")
    assert wire.decode(wire.encode("event", event), DeviceEvent)[1] == event
