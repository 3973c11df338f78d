"""The bag's HDF5 file: what goes in comes out, any HDF5 reader understands it, damage is named."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from edge.archive import layout
from edge.archive.hdf5 import BagWriter, SlabMismatch, attach_verdict
from edge.archive.provenance import describe
from edge.archive.reader import BagFile, BagFileError
from edge.messages import Decision
from kernels.types import Flag
from tests.edge.archive_bags import BAG, Bag, bag, config


def write(folder: Path, made: Bag, *, step: int = 32, **tables: object) -> Path:
    writer = BagWriter(folder / f"{made.bag_id}.h5", made.bag_id, describe(config(folder, **tables)))
    for image_slab, arrays in made.image_slabs(step):
        writer.add_images(image_slab, arrays)
    for slab, arrays in made.raw_slabs(step):
        writer.add_sums(slab, arrays)
    return writer.finish(made.verdict(), [])


def test_everything_comes_back(tmp_path: Path) -> None:
    made = bag()
    path = write(tmp_path, made, emulator={"seed": 3})
    assert not list(tmp_path.glob("*.part"))
    with BagFile(path) as file:
        assert file.verdict == made.verdict()
        assert file.attributes["decision"] == "ALARM"
        assert file.attributes["provenance"] == layout.EMULATED
        assert file.attributes["images_complete"]
        assert file.attributes["phase_sums_complete"]
        assert file.attributes["calibration_id"] == "cal-0123456789abcdef"
        assert file.scanner == config(tmp_path).scanner
        assert file.lane["emulator"] == {"seed": 3}
        assert "state_dir" not in file.lane["lane"]
        assert file.software["h5py"] == h5py.__version__
        for index, channel in enumerate(layout.IMAGE_CHANNELS):
            for energy_bin in range(2):
                np.testing.assert_array_equal(file.channel(channel.name, energy_bin), made.images[index, energy_bin])
                np.testing.assert_array_equal(
                    file.channel_sigma(channel.name, energy_bin), made.sigma[index, energy_bin]
                )
        np.testing.assert_array_equal(file.flags(1), made.flags[1])
        assert file.geometry is not None
        assert (file.geometry.rows, file.geometry.columns) == (made.rows, made.columns)


def test_slabs_come_back_as_they_were_sent(tmp_path: Path) -> None:
    made = bag(columns=75)
    with BagFile(write(tmp_path, made, step=20)) as file:
        for (slab, arrays), (expected, sent) in zip(file.slabs(), made.raw_slabs(20), strict=True):
            assert slab == expected
            assert tuple(arrays) == slab.ARRAYS
            for name in slab.ARRAYS:
                np.testing.assert_array_equal(arrays[name], sent[name])


def test_a_measured_bag_is_not_called_emulated(tmp_path: Path) -> None:
    with BagFile(write(tmp_path, bag())) as file:
        assert file.attributes["provenance"] == layout.MEASURED


def test_another_hdf5_reader_understands_it(tmp_path: Path) -> None:
    """Without our code and filters: text, units, axes and scales; with the filter plug-in also the pixels."""
    made = bag()
    path = write(tmp_path, made)
    script = """
import json, sys, h5py
with h5py.File(sys.argv[1]) as f:
    d = f['images/dark_field_um2']
    column = d.dims[2][0]
    print(json.dumps({
        'decision': json.loads(f['verdict'].asstr()[()])['decision'],
        'units': d.attrs['units'], 'labels': [x.label for x in d.dims],
        'scale': column.is_scale and [float(column[0]), float(column[-1])], 'column_units': column.attrs['units'],
        'bins': [b.decode() for b in d.dims[0][0][()]], 'chunks': d.chunks,
        'filters': d.id.get_create_plist().get_filter(0)[0],
    }))
    import hdf5plugin
    print(float(d[0, 20, 30]))
"""
    out = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True, cwd=tmp_path
    ).stdout.splitlines()
    seen = json.loads(out[0])
    assert seen["decision"] == "ALARM"
    assert seen["units"] == "µm²"
    assert seen["labels"] == ["bin", "row", "column"]
    assert seen["scale"] == pytest.approx([-3.0, -3.0 + 0.3 * (made.columns - 1)])
    assert seen["column_units"] == "mm"
    assert seen["bins"] == ["low", "high"]
    assert seen["chunks"] == [1, made.rows, 64]
    assert seen["filters"] == 32001, "registered number of the Blosc filter"
    assert float(out[1]) == made.images[2, 0, 20, 30]


def test_missing_columns_are_nan_and_flagged(tmp_path: Path) -> None:
    made = bag()
    writer = BagWriter(tmp_path / f"{BAG}.h5", BAG, describe(config(tmp_path)))
    for slab, arrays in list(made.image_slabs())[1:]:
        writer.add_images(slab, arrays)
    with BagFile(writer.finish(None, [])) as file:
        assert file.verdict is None
        assert not file.attributes["images_complete"]
        assert np.isnan(file.channel("transmission", 0)[:, :32]).all()
        assert (file.flags(0)[:, :32] == Flag.BAD_INPUT).all()
        assert (file.flags(0)[:, 32:] == 0).all()
        assert not file.has_sums


def test_a_slab_of_another_grid_is_refused(tmp_path: Path) -> None:
    made = bag()
    writer = BagWriter(tmp_path / f"{BAG}.h5", BAG, describe(config(tmp_path)))
    (first, arrays), (second, _), *_ = made.image_slabs()
    writer.add_images(first, arrays)
    with pytest.raises(SlabMismatch, match="bag began with"):
        writer.add_images(second.model_copy(update={"grid_um": 75.0}), arrays)
    with pytest.raises(SlabMismatch, match="beyond"):
        writer.add_images(second.model_copy(update={"column0": 1 << 20}), arrays)
    with pytest.raises(SlabMismatch, match="header says"):
        writer.add_images(second.model_copy(update={"columns": 5}), arrays)
    writer.abort()
    assert not list(tmp_path.iterdir())


def test_a_late_verdict_is_added(tmp_path: Path) -> None:
    made = bag()
    writer = BagWriter(tmp_path / f"{BAG}.h5", BAG, describe(config(tmp_path)))
    path = writer.finish(None, [])
    attach_verdict(path, made.verdict(Decision.UNKNOWN), [made.verdict(final=False)])
    with BagFile(path) as file:
        assert file.verdict is not None
        assert file.verdict.decision is Decision.UNKNOWN
        assert file.attributes["reason"] == "Timeout"
        assert [v.final for v in file.supplements] == [False]
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_damage_is_named(tmp_path: Path) -> None:
    with pytest.raises(BagFileError, match="no such file"):
        BagFile(tmp_path / "nothing.h5")
    text = tmp_path / "text.h5"
    text.write_text("not HDF5")
    with pytest.raises(BagFileError, match="not a readable HDF5 file"):
        BagFile(text)
    other = tmp_path / "other.h5"
    with h5py.File(other, "w") as file:
        file.attrs["format"] = "something/9"
    with pytest.raises(BagFileError, match=r"something/9.*darklane-bag/1"):
        BagFile(other)
    path = write(tmp_path, bag())
    with h5py.File(path, "r+") as file:
        del file["verdict"]
        file["verdict"] = json.dumps({"bag_id": BAG, "decision": "MAYBE", "iata": "CLR"})
    with pytest.raises(BagFileError, match="Verdict field decision"):
        BagFile(path)
    path = write(tmp_path, bag())
    with h5py.File(path, "r+") as file:
        del file["flags"]
        file["flags"] = np.zeros((2, 3, 4), np.uint16)
    with pytest.raises(BagFileError, match="flags is"):
        BagFile(path)


@pytest.mark.parametrize("fraction", [0.2, 0.6, 0.95])
def test_a_truncated_file_is_an_error_not_a_crash(tmp_path: Path, fraction: float) -> None:
    path = write(tmp_path, bag())
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * fraction)])
    with pytest.raises(BagFileError):
        BagFile(path)
