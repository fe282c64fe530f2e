"""Console of the command line: results, errors and how it ends."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import typer
from rich.console import Console
from rich.text import Text

from agnostic_rand.errors import AgnosticRandError
from agnostic_rand.explainers import CONTROLS
from agnostic_rand.report.tables import comparison_table
from agnostic_rand.results.foreign import printable_lines
from agnostic_rand.results.scores import Scores
from agnostic_rand.results.text import CAUTION, counted, remarks
from agnostic_rand.similarity import MEASURES

FAILED, INTERRUPTED = 2, 130
"""Exit codes: an error that this library explains, and Ctrl-C."""


def out_console() -> Console:
    """Where results go."""
    return Console()


def err_console() -> Console:
    """Where errors and the progress bar go."""
    return Console(stderr=True)


def say(console: Console, message: str | Text, *, whole: bool = False) -> None:
    """Print a paragraph, broken at words; `whole` keeps it on one line where there is no terminal.

    What other programs may look for (errors, paths) is whole.
    """
    text = Text(message) if isinstance(message, str) else message
    # As long as before, so styles stay where they are.
    text.plain = printable_lines(text.plain)
    console.print(text, soft_wrap=whole and not console.is_terminal)


@contextmanager
def clean_exit() -> Iterator[None]:
    """End with a message and an exit code: 2 for the library's errors, 130 for Ctrl-C.

    Any other error passes, so that its traceback is seen.
    """
    try:
        yield
    except AgnosticRandError as error:
        say(err_console(), _described(error), whole=True)
        raise typer.Exit(FAILED) from error
    except KeyboardInterrupt:
        say(err_console(), Text("Interrupted: the model has its weights back, nothing more is written.", "yellow"))
        raise typer.Exit(INTERRUPTED) from None


def report(console: Console, results: Sequence[Scores], measure: str) -> None:
    """Print the scores, and what to know to read them; a single result is printed in full."""
    console.print()
    if len(results) == 1:
        console.print(Text(results[0].summary()), soft_wrap=True)
        return
    draws, _, samples = results[0].scores[measure].shape
    same = 0 if measure in MEASURES and MEASURES[measure].distance else 1
    say(
        console,
        f"Mean {measure} of each step's maps with the trained model's, over {counted(draws, 'draw')} and "
        f"{counted(samples, 'sample')}. Near {same}, the explanation does not depend on what the random layers "
        "learned. Below each step: the share of random parameters.",
    )
    console.print()
    console.print(comparison_table(results, measure))
    console.print()
    for line in remarks(results[0]):
        say(console, line)
    if any(np.isnan(result.scores[measure]).any() for result in results):
        say(console, "undef.: constant maps have no such score; they are counted, never replaced.")
    for result in results:
        # Controls are what findings warn of, on purpose.
        for finding in () if result.explainer in CONTROLS else result.findings:
            say(console, Text.assemble((f"{result.explainer}: ", "bold yellow"), finding))
    say(console, CAUTION)


def say_written(console: Console, place: Path, written: Sequence[Path]) -> None:
    """Name the files that were written; those of a folder with what they hold."""
    if list(written) == [place]:
        say(console, f"\nWrote {place}", whole=True)
        return
    names = [path.name for path in written]
    figures = [name for name in names if name.endswith(".png")]
    results = [name for name in names if name.endswith(".npz")]
    say(
        console,
        f"\nWrote {place}/: {', '.join([*figures, 'scores.csv'])} and {counted(len(results), 'result')} (.npz).",
        whole=True,
    )
    if "strip.png" not in figures:
        say(console, "There is no strip of maps: the inputs are no images of 8x8 pixels or more.")


def _described(error: AgnosticRandError) -> Text:
    text = Text.assemble(("error: ", "bold red"), (str(error), "red"))
    for note in getattr(error, "__notes__", ()):
        text.append(f"\n{note}", style="dim")
    return text
