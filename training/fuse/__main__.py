"""Join a network with the material discriminator and write the fused bundle.

``python -m training.fuse --bundle FOLDER --data FOLDER --out FOLDER``: each graph of the bundle gets a fusion of its
own, fitted on a data set of the lane that neither network nor discriminator has seen. The new bundle is made to decide
only where that tells bags apart better than the discriminator alone does; else it becomes a shadow. All is simulated.
"""

from __future__ import annotations

import argparse
import re
import shutil
from pathlib import Path

import edge
from calibration.signing import KeyStore
from edge.config import Inference
from edge.inference.bundle import ModelBundle, load, write
from edge.inference.card import card
from edge.inference.examination import MaterialDetector
from edge.inference.manifest import Precision
from edge.inference.model_file import shipped
from edge.inference.model_folder import KEYS, SHIPPED_FOLDER
from edge.inference.network import connect
from edge.inference.onnx_backend import OnnxRuntime
from training import dataset
from training.fit_network.presets import INT8_LOSS
from training.fuse.bags import examine
from training.fuse.fit import fused
from training.fuse.rule import Bag

#: The card of the shipped bundle, in this checkout.
CARD_PAGE = Path(edge.__file__).parents[1] / "docs" / "reference" / "model-card.md"


def fuse(
    bundle: ModelBundle, scans: dataset.Scans, rate: float | None, command: str, keys: KeyStore, out: Path
) -> Path:
    """The bundle with a fusion in every graph, written and signed; returns its path."""
    recipe = scans.manifest.recipe
    material = MaterialDetector(shipped(int(recipe.scanner["tube_kv"])), min_area_mm2=Inference().min_area_mm2)
    precisions = list(bundle.manifest.graphs)
    networks = [connect(bundle, OnnxRuntime(bundle, precision, 1), precision) for precision in precisions]
    bags: list[list[Bag]] = []
    for k, scan in enumerate(scans, start=1):
        bags.append(examine(scan, scans.manifest.pixel_um, material, networks))
        if k % 20 == 0 or k == len(scans):
            print(f"{k} of {len(scans)} bags", flush=True)
    seeds = f"{recipe.seed} … {recipe.seed + recipe.scans - 1}, data set {scans.manifest.sha256[:16]}…"
    graphs = dict(bundle.manifest.graphs)
    helping: dict[Precision, bool] = {}
    for number, precision in enumerate(precisions):
        rule, helps = fused([bag[number] for bag in bags], material.identity.sha256, rate, seeds, command)
        graphs[precision], helping[precision] = graphs[precision].model_copy(update={"fusion": rule}), helps
        reached = f"rate {rule.target_rate:g}: {rule.detections:.0%} of {rule.targets} targets"
        found = f"{reached}, {rule.false_alarms:.0%} false alarms (cross-validated)"
        print(f"{precision}: {found}, areas {rule.area_under_curve}, better than the discriminator alone: {helps}")
    areas = {precision: made.fusion.area_under_curve["network"] for precision, made in graphs.items() if made.fusion}
    # These bags are several times as many as those that the network was held back from.
    runs: Precision = "int8" if areas["int8"] >= areas["fp32"] - INT8_LOSS else "fp32"
    role = "active" if helping[runs] else "shadow"
    manifest = type(bundle.manifest).model_validate(
        bundle.manifest.model_copy(
            update={"graphs": graphs, "precision": runs, "role": role, "command": _portable(bundle.manifest.command)}
        ).model_dump()
    )
    return write(out, manifest, bundle.files, keys)


def ship(fused: Path, keys: KeyStore, folder: Path, card_page: Path) -> None:
    """Make the bundle ``fused`` the one that the software ships: bundle and public key in ``folder``, and its card.

    The private key stays where it is.
    """
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(fused, folder / fused.name)
    shutil.copytree(keys.folder / "trusted", folder / KEYS / "trusted")
    card_page.write_text(card(load(folder / fused.name, KeyStore(folder / KEYS))), encoding="utf-8")


def _portable(command: str) -> str:
    """``command`` without the folders of the machine that it ran on."""
    return re.sub(r"(?<!\S)/\S*/(?=\S)", "", command)


def main() -> int:
    """Command line of ``python -m training.fuse``."""
    parser = argparse.ArgumentParser(prog="python -m training.fuse", description=__doc__)
    parser.add_argument("--bundle", type=Path, required=True, help="the network's bundle")
    parser.add_argument("--data", type=Path, required=True, help="data set of the lane that nothing was fitted on")
    parser.add_argument("--out", type=Path, required=True, help="folder that the fused bundle is written into")
    parser.add_argument("--keys", type=Path, help="folder of the keys; default: keys beside the bundle")
    parser.add_argument("--rate", type=float, help="share of targets to find; default: chosen by the false alarms")
    parser.add_argument("--ship", action="store_true", help="make it the bundle that the software ships")
    given = parser.parse_args()
    keys = KeyStore(given.keys or given.bundle.parent / "keys")
    bundle, scans = load(given.bundle, keys), dataset.open(given.data)
    print(f"{bundle.id}: {len(scans)} simulated bags, {scans.manifest.command}")
    asked = f" --rate {given.rate:g}" if given.rate else ""
    command = f"{scans.manifest.command} --out DATA && python -m training.fuse --data DATA{asked}"
    path = fuse(bundle, scans, given.rate, command, keys, given.out)
    print(path)
    if given.ship:
        ship(path, keys, SHIPPED_FOLDER, CARD_PAGE)
        print(f"shipped: {SHIPPED_FOLDER}, {CARD_PAGE}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
