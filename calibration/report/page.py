"""The page: what was found, which limits were kept, and the plots, in one HTML file without any link, and as PDF."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure

from calibration.folder import entries
from calibration.report import plots, results
from calibration.session import Session, SessionError, StepRecord

_STYLE = """
body{font:14px/1.45 system-ui,sans-serif;max-width:76em;margin:2em auto;padding:0 1em;color:#222}
h1{font-size:1.5em;margin-bottom:.2em}h2{font-size:1.1em;margin-top:2em;border-top:1px solid #ddd;padding-top:.8em}
table{border-collapse:collapse;margin:.6em 0}td,th{padding:.2em .9em .2em 0;text-align:left;vertical-align:top}
td.n{text-align:right;font-variant-numeric:tabular-nums}
.passed{color:#1b7837;font-weight:600}.failed{color:#b2182b;font-weight:600}.pending{color:#777;font-weight:600}
.simulated{background:#fff3cd;border:1px solid #e0c060;padding:.5em .8em;margin:1em 0}
.todo{background:#fbe3e4;border:1px solid #d9a0a3;padding:.5em .8em;margin:.6em 0}
img{max-width:100%}
"""


def write_report(session: Session, folder: Path, *, pdf: bool = True) -> Path:
    """Write ``report.html`` (and ``report.pdf``) into the session's folder; returns the HTML file.

    ``folder``: the calibration folder with all bundles, for the history. A step that failed is drawn from what it had
    measured; one that was not run, or whose arrays cannot be read, has a sentence instead of a plot: a report of a
    broken run is what an engineer needs most.
    """
    drawn = [(step, *_draw(session, step)) for step in session.record.steps]
    history = results.history(entries(folder))
    body = [_head(session), _summary(session)]
    for step, figures, problem in drawn:
        body.append(_section(step, figures, problem))
    body.append("<h2>History</h2>")
    body.append(_image(history) if history is not None else "<p>There is no earlier calibration to compare with.</p>")
    page = (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        f"<title>Calibration {html.escape(session.record.id)}</title><style>{_STYLE}</style></head>"
        f"<body>{''.join(body)}</body></html>\n"
    )
    path = session.folder / "report.html"
    path.write_text(page, encoding="utf-8")
    if pdf:
        _write_pdf(session, [f for _, figures, _ in drawn for f in figures] + ([history] if history else []))
    return path


#: Plots of each step, drawn from its arrays; a step may have several.
_PLOTS: dict[str, tuple[Callable[[plots.Arrays], Figure], ...]] = {
    "dark": (plots.dark,),
    "scan": (plots.scan,),
    "flat": (plots.flat,),
    "stepped": (results.stepped,),
    "pixels": (plots.pixels,),
    "beam": (plots.beam,),
    "align": (plots.alignment,),
    "curves": (plots.curves, plots.visibility),
    "linearity": (results.linearity,),
    "regions": (results.ratio_space,),
    "verification": (results.verification,),
}


def _draw(session: Session, step: StepRecord) -> tuple[list[Figure], str]:
    """Figures of one step, or a sentence on why there are none."""
    if step.state == "pending":
        return [], ""
    try:
        arrays = session.arrays(step.step)
        if step.step == "working-point":
            return [plots.working_point(arrays, step.values.get("working_point_um"))], ""
        if step.step == "prior":
            return [plots.offset_prior(session.arrays("tray"), arrays)], ""
        if step.step == "tray" and step.state == "failed":
            return [plots.offset_prior(arrays, {})], ""
        return [plot(arrays) for plot in _PLOTS.get(step.step, ())], ""
    except (SessionError, KeyError, IndexError, ValueError) as error:
        # Nothing to draw is no news where a step failed before it had measured anything.
        nothing = step.state == "failed" and not (session.folder / f"{step.step}.npz").is_file()
        return [], "nothing was measured in this step" if nothing else f"no plot: {error}"


def _head(session: Session) -> str:
    record = session.record
    when = f"{datetime.fromtimestamp(record.started_ns / 1e9, timezone.utc):%Y-%m-%d %H:%M:%S} UTC"
    who = f"{record.operator or 'unnamed'} on {record.host or 'unnamed'}"
    result = record.bundle_id if session.finished else "not finished; the calibration before stays active"
    lines = [
        f"<h1>Calibration {html.escape(record.id)}</h1>",
        f"<p>{html.escape(who)}, {when}. {html.escape(result)}</p>",
    ]
    if record.simulated:
        lines.append("<p class='simulated'>Simulated: recorded on the emulated scanner, nothing was measured.</p>")
    return "".join(lines)


def _summary(session: Session) -> str:
    rows = "".join(
        f"<tr><td>{html.escape(step.title or step.step)}</td><td class='{step.state}'>{step.state}</td>"
        f"<td class='n'>{_seconds(step)}</td><td class='n'>{step.exposures or ''}</td>"
        f"<td>{html.escape(step.found)}</td></tr>"
        for step in session.record.steps
    )
    head = "<tr><th>step</th><th>verdict</th><th>time</th><th>frames</th><th></th></tr>"
    limits = "".join(
        f"<tr><td>{html.escape(name.replace('_', ' '))}</td><td class='n'>{_limit(value)}</td></tr>"
        for name, value in session.record.limits.items()
    )
    return f"<table>{head}{rows}</table><details><summary>Limits</summary><table>{limits}</table></details>"


def _section(step: StepRecord, figures: list[Figure], problem: str) -> str:
    values = "".join(
        f"<tr><td>{html.escape(name.replace('_', ' '))}</td><td class='n'>{value:.5g}</td></tr>"
        for name, value in step.values.items()
    )
    todo = f"<p class='todo'>{html.escape(step.found)}. {html.escape(step.todo)}</p>" if step.todo else ""
    note = f"<p>{html.escape(problem)}</p>" if problem else ""
    images = "".join(_image(figure) for figure in figures)
    title = f"<h2>{html.escape(step.title or step.step)} <span class='{step.state}'>{step.state}</span></h2>"
    return f"{title}{todo}{note}<table>{values}</table>{images}"


def _image(figure: Figure) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return f"<img alt='' src='data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}'>"


def _seconds(step: StepRecord) -> str:
    return f"{(step.ended_ns - step.started_ns) / 1e9:.1f} s" if step.ended_ns > step.started_ns > 0 else ""


def _limit(value: float | tuple[float, float]) -> str:
    return f"{value[0]:g} to {value[1]:g}" if isinstance(value, tuple) else f"{value:g}"


def _write_pdf(session: Session, figures: list[Figure]) -> None:
    with PdfPages(session.folder / "report.pdf") as pdf:
        cover = Figure(figsize=(8.3, 11.7))
        simulated = "SIMULATED: nothing was measured\n" if session.record.simulated else ""
        lines = [f"{s.title or s.step:<44} {s.state:<8} {s.found}" for s in session.record.steps]
        text = f"Calibration {session.record.id}\n{simulated}{session.record.bundle_id}\n\n" + "\n".join(lines)
        cover.text(0.06, 0.95, text, va="top", family="monospace", fontsize=8, wrap=True)
        pdf.savefig(cover)
        for figure in figures:
            pdf.savefig(figure)
