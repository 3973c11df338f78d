"""What the person at ``darklane calibrate`` sees."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from calibration.session import Session
from calibration.steps import TITLES, Report


class View:
    """One progress line per step. Context manager."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._progress = Progress(
            TextColumn("{task.fields[mark]} {task.description:<42}"),
            BarColumn(bar_width=24),
            TimeElapsedColumn(),
            console=console,
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> View:
        self._progress.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._progress.stop()

    def say(self, text: str) -> None:
        """One line above the bars."""
        self._progress.console.print(f"  {text}", highlight=False, soft_wrap=True, markup=False)

    def report(self, report: Report) -> None:
        """Move the bar of a step."""
        if report.step not in self._tasks:
            self._tasks[report.step] = self._progress.add_task(TITLES[report.step], total=1.0, mark=" ")
        task = self._tasks[report.step]
        self._progress.update(task, completed=report.fraction)
        if report.fraction >= 1:
            self._progress.update(task, mark="[green]✓[/]")


def print_summary(console: Console, session: Session) -> None:
    """What every step measured."""
    table = Table(title="What was measured", show_lines=False)
    table.add_column("step", no_wrap=True)
    table.add_column("values")
    for step in session.record.steps:
        listed = (f"{name.replace('_', ' ')} {value:.4g}" for name, value in step.values.items())
        table.add_row(step.title, ", ".join(listed))
    console.print(table)


def print_report(console: Console, session: Session, folder: Path) -> None:
    """Write the report when its libraries are there, and say where it is."""
    try:
        from calibration.report import write_report  # noqa: PLC0415 - matplotlib is an extra of its own
    except ImportError:
        text = "no report: matplotlib is not installed (pip install darklane[report])"
    else:
        text = f"report    {write_report(session, folder)}"
    console.print(text, highlight=False, soft_wrap=True, markup=False)
