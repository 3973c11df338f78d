"""``python -m training.figures``: draws the paper's figures of single materials from simulated samples."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from calibration.linearity import fit_linearisation
from training.figures import fig2, supplementary
from training.figures.wedge import FIRST_SET, REFERENCES, SECOND_SET, Wedge, lane, scan

#: Materials of Fig. 2 (c), and the one of Supplementary Figs. 1 and 4.
PAIR, ALONE = ("Semtex1H", "soap"), "Semtex1A"


def draw(out: Path, seed: int) -> dict[str, object]:
    """Write all PNGs and figures.json to ``out``; the same ``seed`` gives the same numbers. Returns them."""
    on = lane(seed)
    materials = list(dict.fromkeys((*FIRST_SET, *SECOND_SET)))
    wedges: dict[str, Wedge] = {name: scan(on, name, seed + 10 + k) for k, name in enumerate(materials)}
    correction = fit_linearisation([wedges[name].steps for name in REFERENCES])
    second = [wedges[name] for name in SECOND_SET]
    numbers: dict[str, object] = {
        "simulated": True,
        "seed": seed,
        "fig2ab": fig2.panels_ab([wedges[name] for name in FIRST_SET], out),
        "fig2c": fig2.panel_c([wedges[name] for name in PAIR], out),
        "fig2d": fig2.panel_d(second, out, correction),
        "supplementary1": supplementary.figure_1(ALONE, seed + 100, out),
        "supplementary3": supplementary.figure_3(second, out, correction),
        "supplementary4": supplementary.figure_4(ALONE, seed + 200, out),
    }
    supplementary.figure_2(second, out)
    (out / "figures.json").write_text(json.dumps(numbers, indent=1), encoding="utf-8")
    return numbers


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m training.figures", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("build/figures"), help="folder of the PNGs")
    parser.add_argument("--seed", type=int, default=930_000, help="of scanner, samples and noise")
    arguments = parser.parse_args()
    draw(arguments.out, arguments.seed)
    print(f"{len(list(arguments.out.glob('*.png')))} figures in {arguments.out}; all of them are simulated")


if __name__ == "__main__":
    main()
