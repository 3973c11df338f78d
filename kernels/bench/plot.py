"""The figure of a benchmark run; needs matplotlib (extra `bench`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def plot(figures: dict[str, Any], path: Path) -> None:
    """Write bars of all solvers and the three scaling curves to ``path``. Raises ImportError without matplotlib."""
    import matplotlib as mpl  # noqa: PLC0415 - optional and slow to import

    mpl.use("Agg")
    import matplotlib.pyplot as plt  # noqa: PLC0415

    figure, axes = plt.subplots(2, 2, figsize=(11, 8), layout="constrained")
    (bars, by_pixels), (by_threads, by_counts) = axes
    rows = sorted(figures["retrieval"], key=lambda row: float(row["fits_per_second_per_core"]))
    colours = ["tab:blue" if row["name"].startswith("darklane") else "tab:gray" for row in rows]
    drawn = bars.barh([r["name"] for r in rows], [r["fits_per_second_per_core"] for r in rows], color=colours)
    bars.bar_label(drawn, fmt="{:,.0f}", padding=3)
    bars.set(xscale="log", xlabel="fits per second and core", title="Same Poisson samples, one core")
    rates = [float(row["fits_per_second_per_core"]) for row in rows]
    bars.set_xlim(rates[0] / 10, 20 * rates[-1])
    curves = (
        (by_pixels, "pixels", "pixels", "fits_per_second_per_core", "fits per second and core"),
        (by_threads, "threads", "threads", "fits_per_second", "fits per second"),
        (by_counts, "counts", "counts_at_peak", "fits_per_second_per_core", "fits per second and core"),
    )
    for axis, key, x, y, label in curves:
        points = figures["scaling"][key]
        for model in dict.fromkeys(p["model"] for p in points):
            own = [p for p in points if p["model"] == model]
            axis.plot([p[x] for p in own], [p[y] for p in own], "o-", label=f"darklane {model}")
        axis.set(xlabel=x.replace("_", " "), ylabel=label, ylim=(0, None))
        if key == "threads":
            axis.set_xticks(sorted({p[x] for p in points}))
        else:
            axis.set_xscale("log")
        axis.legend()
    figure.suptitle(f"{figures['machine']['processor']}, simulated samples")
    figure.savefig(path, dpi=110)
    plt.close(figure)
