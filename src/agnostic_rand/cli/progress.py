"""Progress bar on the terminal, and nothing where there is no terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from agnostic_rand.results.foreign import printable
from agnostic_rand.subject import progress as run


@contextmanager
def progress_bar(console: Console) -> Iterator[run.ProgressCallback]:
    """A callback for one run, drawn only where the console is a terminal; the bar disappears at the end."""
    columns = (
        TextColumn("{task.description:<22}", markup=False),
        BarColumn(bar_width=28),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeRemainingColumn(compact=True),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None)

        def advance(progress: run.Progress) -> None:
            bar.update(
                task, completed=progress.done, total=progress.total, description=printable(progress.description)
            )

        yield advance
