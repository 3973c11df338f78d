"""The texture network: the folder of the Describable Textures, what does not fit, and what a record says."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("matplotlib", reason="install darklane[report]")

from PIL import Image  # noqa: E402
from torch import nn  # noqa: E402

from tests.training import tiny_dataset  # noqa: E402
from training.experiments import trainer  # noqa: E402
from training.experiments.__main__ import main  # noqa: E402
from training.fit_network import machine, paper, presets, textures, trunks  # noqa: E402
from training.networks.heads import TEXTURES  # noqa: E402

#: Of each class, one to learn from and one to ask about.
EACH = 2


def _drawn(kind: int, number: int) -> Image.Image:
    """Stripes: their colour, distance and direction tell the class, where they lie is the image's own."""
    rng = np.random.default_rng([kind, number])
    rows, columns = np.mgrid[:40, :56]
    angle, period = kind % 4 * np.pi / 4, 4 + kind // 12 * 3
    wave = np.cos(2 * np.pi * ((rows * np.cos(angle) + columns * np.sin(angle)) / period + rng.random()))
    colour = np.array([kind % 3, kind // 3 % 3, kind // 9 % 3]) / 2
    picture = (
        0.5 * colour + (0.25 + 0.25 * wave)[..., None] * np.array([1.0, 0.6, 0.3]) + 0.02 * rng.random((40, 56, 3))
    )
    return Image.fromarray((255 * np.clip(picture, 0, 1)).astype(np.uint8))


@pytest.fixture(scope="module")
def dtd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the archive unpacks, of drawn stripes."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("textures") / "dtd"
    for k, kind in enumerate(textures.CLASSES):
        (folder / "images" / kind).mkdir(parents=True)
        for number in range(EACH):
            _drawn(k, number).save(folder / "images" / kind / f"{kind}_{number:04d}.jpg", quality=95)
    (folder / "labels").mkdir()
    return folder


@pytest.fixture(scope="module")
def half(dtd: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One image of each class."""
    folder = tmp_path_factory.mktemp("half")
    for kind in textures.CLASSES:
        (folder / kind).mkdir()
        shutil.copy(dtd / "images" / kind / f"{kind}_0000.jpg", folder / kind)
    return folder


@pytest.fixture
def own(dtd: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return shutil.copytree(dtd, tmp_path / "dtd")


def test_all_images_are_found_with_their_classes(dtd: Path) -> None:
    found = textures.find(dtd)
    assert len(set(textures.CLASSES)) == TEXTURES
    assert list(textures.CLASSES) == sorted(textures.CLASSES)
    assert found.classes == tuple(k for k in range(TEXTURES) for _ in range(EACH))
    assert all(path.parent.name == textures.CLASSES[k] for path, k in zip(found.files, found.classes, strict=True))
    assert textures.find(dtd / "images") == found


def test_the_hash_is_of_contents_and_classes(dtd: Path, own: Path) -> None:
    whole, banded = textures.find(dtd), own / "images" / "banded"
    (banded / "._banded_0000.jpg").write_bytes(b"of another system")
    (banded / "readme.txt").write_text("no image")
    (own / "images" / ".cache").mkdir()
    assert textures.find(own).sha256 == whole.sha256
    one, other = banded / "banded_0000.jpg", own / "images" / "woven" / "woven_0000.jpg"
    one.rename(banded / "first.JPG")
    assert textures.find(own).sha256 != whole.sha256  # another order
    (banded / "first.JPG").rename(one)
    contents = one.read_bytes(), other.read_bytes()
    one.write_bytes(contents[1])
    other.write_bytes(contents[0])
    assert textures.find(own).sha256 != whole.sha256


def test_folders_that_are_not_the_data_set_are_refused(own: Path, tmp_path: Path) -> None:
    place = own / "images"
    with pytest.raises(textures.TextureError, match=r"nowhere is not a folder; give the folder of the Describable"):
        textures.find(tmp_path / "nowhere")
    shutil.rmtree(place / "woven")
    with pytest.raises(textures.TextureError, match=r"images lacks 1 \(woven\); give"):
        textures.find(own)
    (place / "denim").mkdir()
    with pytest.raises(textures.TextureError, match=r"lacks 1 \(woven\) and has unknown ones: 1 \(denim\); give"):
        textures.find(own)
    (place / "denim").rename(place / "woven")
    with pytest.raises(textures.TextureError, match=r"woven holds no image \(.jpg, .jpeg\)"):
        textures.find(own)
    (place / "woven" / "woven_0000.jpg").mkdir()
    with pytest.raises(textures.TextureError, match=r"woven_0000.jpg cannot be read"):
        textures.find(own)
    with pytest.raises(textures.TextureError, match=r"lacks 47 \(banded, blotchy, braided, …\)"):
        textures.find(tmp_path)


def test_the_middle_square_is_read(tmp_path: Path) -> None:
    picture = np.zeros((20, 40, 3), np.uint8)
    picture[:, 10:30] = (255, 128, 0)
    picture[:, 30:] = (0, 0, 255)
    path = tmp_path / "one.png"
    Image.fromarray(picture).save(path)
    made = textures.read(path, 10)
    assert made.shape == (3, 10, 10)
    assert made.dtype == torch.float32
    assert np.allclose(made.numpy(), np.array([1.0, 128 / 255, 0.0])[:, None, None])
    Image.fromarray(picture[:, :, 0]).save(path)  # grey ones are shown in all colours
    assert torch.equal(textures.read(path, 10), torch.ones(3, 10, 10))


@pytest.mark.parametrize("name", ["cut", "text", "empty"])
def test_damaged_images_are_refused_by_name(own: Path, name: str) -> None:
    path = own / "images" / "lined" / "lined_0001.jpg"
    whole = path.read_bytes()
    path.write_bytes({"cut": whole[: len(whole) // 2], "text": b"no image", "empty": b""}[name])
    with pytest.raises(textures.TextureError, match=r"lined_0001.jpg is not a whole image .*unpack the data set again"):
        textures.read(path, 32)


def test_the_texture_network_learns_the_textures(dtd: Path, half: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(machine.DEVICE, "cpu")
    network, told = textures.network("lite0", None, half)
    first = textures.find(half)
    assert told.startswith(f"Describable Textures, {TEXTURES} images (sha256 {first.sha256[:16]}); trunk: ")
    assert isinstance(network, textures.Classified)
    size = network.scaled.input_size
    classes = range(0, TEXTURES, 3)  # enough to tell
    asked = [dtd / "images" / textures.CLASSES[k] / f"{textures.CLASSES[k]}_0001.jpg" for k in classes]
    with torch.inference_mode():
        made = torch.cat([network(textures.read(path, size)[None]) for path in asked])
    assert made.shape == (len(classes), TEXTURES)
    right = float((made.argmax(1) == torch.tensor(classes)).float().mean())
    assert right > 0.5  # chance: 1 of 47
    assert not network.training
    # The same folder gives the same network, without learning again; the next split asks for it.
    assert textures.network("lite0", None, half)[0] is network
    trunk, _ = trunks.trunk("lite0", None, textures.SEED)  # learnt is the last layer only
    assert all(torch.equal(value, trunk.state_dict()[key]) for key, value in network.scaled.state_dict().items())


def test_the_texture_network_stays_as_it_is() -> None:
    class Small(nn.Module):
        def features(self, pictures: Any) -> Any:
            return pictures.mean((2, 3))

    texture = nn.Sequential(nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(48, TEXTURES))
    whole = paper.Whole(Small(), texture, nn.Linear(3 + TEXTURES, 2))
    before = {key: value.clone() for key, value in texture.state_dict().items()}
    whole.train()
    whole(torch.rand(4, 3, 4, 4)).sum().backward()
    assert whole.head.training
    assert not texture.training
    assert all(torch.equal(value, before[key]) for key, value in texture.state_dict().items())
    assert all(weight.grad is None for weight in texture.parameters())


def test_the_record_of_a_run_says_which_textures(
    half: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(machine.DEVICE, "cpu")
    named = "study1-lite0-texture"
    chosen = presets.preset(named)
    assert isinstance(chosen, presets.PaperPreset)
    monkeypatch.setattr(trainer, "preset_of", lambda name: replace(chosen, epochs=2, panel=32, crops=1))
    scans = tiny_dataset.make(tmp_path / "set", scans=8, splits=1)
    line = ["study1", "--data", str(scans.folder), "--only", "fig3", "--match", f"{named}.all", "--splits", "1"]
    weights = {}
    for name, more in (("with", ["--textures", str(half)]), ("without", [])):
        out = tmp_path / name
        assert main([*line, "--out", str(out), *more]) == 0
        (path,) = (out / "runs").glob("*.json")
        weights[name] = json.loads(path.read_text())["weights"]
        assert weights[name] in (out / "study1.html").read_text()
    assert f"texture: Describable Textures, {TEXTURES} images" in weights["with"]
    assert "no Describable Textures" in weights["without"]
    # A folder that does not fit is told before anything is run.
    wrong = tmp_path / "wrong"
    assert main([*line, "--out", str(wrong), "--textures", str(scans.folder / "dtd")]) == 2
    assert "dtd is not a folder; give the folder" in capsys.readouterr().err
    assert not wrong.exists()
