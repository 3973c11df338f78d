"""Makes phantom.json, the certificate of the simulated verification phantom: expected t and τ² of every block.

``python -m firmware_bridge.emulator.data.make_phantom``. The values are those of the emulator's own tables: spectrum
averages behind the whole block, no texture, no noise, no illumination curve.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from firmware_bridge.emulator.forward import Canvas
from firmware_bridge.emulator.materials import material
from firmware_bridge.emulator.settings import EmulatorSettings
from firmware_bridge.reference_strips import STRIPS
from firmware_bridge.scanner import Scanner

OUT = Path(__file__).with_name("phantom.json")
#: Digits kept; far finer than any limit.
DIGITS = 6


def expected(kv: int) -> dict[str, list[list[float]]]:
    """t and τ² (µm² at M1) per bin (low, high) and block at ``kv``."""
    scanner = Scanner.model_validate({"tube_kv": kv, "native_rows": 16})
    blocks = STRIPS["phantom"]
    values = np.empty((4, 2, len(blocks)))
    for k, (name, thickness) in enumerate(blocks):
        canvas = Canvas(scanner, EmulatorSettings(), 0.0, 3)
        canvas.add(material(name), np.full((3, scanner.rows), thickness, np.float32), 0, 0, None)
        values[:, :, k] = canvas.images()[1, :, :, 0].T
    return {"t": np.round(values[0], DIGITS).tolist(), "dark_field_um2": np.round(values[2], DIGITS).tolist()}


def main() -> None:
    """Write the file."""
    scanner = Scanner()
    content = {
        "simulated": True,
        "source_object_m": scanner.source_object_m,
        "blocks": [{"material": name, "thickness_mm": thickness} for name, thickness in STRIPS["phantom"]],
        "kv": {str(kv): expected(kv) for kv in (80, 120)},
    }
    OUT.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
