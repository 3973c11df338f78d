"""The model card of a bundle: everything in it is read from the manifest, nothing is copied by hand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timezone

from pydantic import JsonValue

from edge.inference.bundle import ModelBundle
from edge.inference.manifest import Fusion, Graph, Manifest

_HEAD = """# Model card: {name} {version}

Generated from the manifest of the bundle by `darklane model card`; do not edit.

**Simulated.** Every image that this network was trained or judged on was made by this repository's emulator. No
figure on this page is a statement about real bags, a real scanner, or real explosives.
"""
_USE = """## What it is for

It marks places that look like an explosive on the lane's own images, with a probability. {role}
Not for other scanners, voltages or pixel sizes, which the
service refuses; not a substitute for an operator; not certified for anything. What it was never shown (other bags,
other explosives, deliberate concealment) it cannot be expected to find.
"""
#: What the verdict is made of, by how the fusion weighs the discriminator.
_ALONE = """It decides by itself: the
[material discriminator](../explanation/discriminator.md) weighs nothing in the verdict, names what lies there, and
reports its own score beside."""
_JOINED = """The verdict is
made of it and of the [material discriminator](../explanation/discriminator.md) together, place by place."""
_SHADOW = """It may run as a
shadow only: the [material discriminator](../explanation/discriminator.md) decides."""


def card(bundle: ModelBundle) -> str:
    """Markdown text."""
    manifest = bundle.manifest
    parts = [_HEAD.format(name=manifest.name, version=manifest.version), _table(_facts(bundle))]
    fused = manifest.graphs[manifest.precision].fusion
    parts += [_USE.format(role=_role(fused)), _data(manifest)]
    for precision, graph in manifest.graphs.items():
        parts.append(_graph(precision, graph, precision == manifest.precision))
    parts.append(_fusion(manifest, fused))
    if manifest.metrics:
        rows = [(name, _text(value)) for name, value in manifest.metrics.items()]
        parts.append("## What training reported\n\n" + _table(rows, ("figure", "value")))
    return "\n".join(part.rstrip() + "\n" for part in parts)


def _role(rule: Fusion | None) -> str:
    """Who decides where this network is the active one."""
    if rule is None:
        return _SHADOW
    return _JOINED if rule.material_weight > 0 else _ALONE


def _facts(bundle: ModelBundle) -> list[tuple[str, str]]:
    manifest = bundle.manifest
    inputs = manifest.inputs
    made = datetime.fromtimestamp(manifest.created_ns / 1e9, timezone.utc)
    return [
        ("id", f"`{bundle.id}`"),
        ("made", f"{made:%Y-%m-%d} with {manifest.software or 'unnamed software'}"),
        ("architecture", f"{manifest.architecture or 'not told'}; {manifest.parameters:,} parameters"),
        ("licence", manifest.licence or "not told"),
        ("input", f"{len(inputs.planes)} planes of {inputs.row_pitch_um:g} × {inputs.grid_um:g} µm pixels: "
                  + ", ".join(inputs.planes)),
        ("tube", ", ".join(f"{kv} kVp" for kv in inputs.tube_kv)),
        ("output", f"heat in cells of {manifest.stride} pixels, which depends on {manifest.halo} pixels around; "
                   f"classes {', '.join(manifest.classes)}"),
        ("runs on a CPU as", manifest.precision),
        ("role where it ships", manifest.role),
        ("signed with key", f"`{bundle.signer}`"),
        ("trained again by", f"`{manifest.command}`" if manifest.command else "not told"),
    ]  # fmt: skip


def _data(manifest: Manifest) -> str:
    data = manifest.data
    rows = [
        ("what", data.description),
        ("bags", str(data.bags)),
        ("seeds", data.seeds or "not told"),
        ("data set", f"sha256 `{data.sha256}`" if data.sha256 else "not told"),
    ]
    return "## Data\n\n" + _table(rows)


def _graph(precision: str, graph: Graph, default: bool) -> str:
    rows = [
        ("file", f"`{graph.file}`, sha256 `{graph.sha256[:16]}…`"),
        ("probability of the network alone", f"1 / (1 + exp(−({graph.platt[0]:.4g} · logit + {graph.platt[1]:.4g})))"),
        ("threshold of the network alone", f"{graph.threshold:.4g}"),
        *((name, f"{value:.4g}") for name, value in graph.accuracy.items()),
    ]
    return f"## Graph {precision}{', the default' if default else ''}\n\n" + _table(rows)


def _fusion(manifest: Manifest, rule: Fusion | None) -> str:
    if rule is None:
        return "## With the discriminator\n\nNot fitted: this network may only run as a shadow.\n"
    clean = rule.bags - rule.targets
    lines = [
        "## With the discriminator",
        "",
        f"Fitted on {rule.bags} simulated bags ({rule.targets} with a target, {clean} without) that neither",
        f"network nor discriminator had seen ({rule.seeds or 'seeds not told'}). Every figure below is of",
        f"{manifest.precision}, cross-validated, and a target counts as found only where it lies.",
        "",
        f"Threshold {rule.threshold:.3f}, chosen so that {rule.target_rate:.0%} of the targets reach it: "
        f"**{rule.detections:.0%} found, {rule.false_alarms:.0%} of the bags without one alarm**.",
        "",
        _table(
            [(name, f"{area:.3f}") for name, area in rule.area_under_curve.items()], ("score", "area under the curve")
        ),
        _table(
            [(f"{p.detections:.0%}", f"{p.false_alarms:.0%}", f"{p.threshold:.3f}") for p in rule.operating_points],
            ("targets found", "bags without one that alarm", "threshold"),
        ),
        "Reliability of the score:",
        "",
        _table(
            [(f"{r.score:.2f}", f"{r.share:.2f}", str(r.bags)) for r in rule.reliability],
            ("mean score", "share with a target", "bags"),
        ),
    ]
    if rule.command:
        lines += [f"Fitted again by `{rule.command}`.", ""]
    return "\n".join(lines)


def _text(value: JsonValue) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else f"`{json.dumps(value, ensure_ascii=False)}`"


def _table(rows: Sequence[Sequence[str]], heading: Sequence[str] = ("", "")) -> str:
    lines = ["| " + " | ".join(heading) + " |", "|" + "---|" * len(heading)]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"
