"""The command line: `agnostic-rand demo`, `cascade` and `backends`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import agnostic_rand

if TYPE_CHECKING:
    from agnostic_rand.weights import ModelRandomizationStrategy

app = typer.Typer(
    name="agnostic-rand",
    help="Does an explanation depend on what the model learned?",
    no_args_is_help=True,
    add_completion=False,
    # The library's errors are printed as messages; all others keep their plain traceback.
    pretty_exceptions_enable=False,
)


class Strategy(StrEnum):
    """Which layers are randomized."""

    cascading = "cascading"
    progressive = "progressive"
    independent = "independent"
    full = "full"


class Order(StrEnum):
    """Where a cascade starts."""

    top_down = "top_down"
    bottom_up = "bottom_up"


class Isolation(StrEnum):
    """Whose weights are randomized."""

    clone = "clone"
    in_place = "in_place"


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if version:
        typer.echo(f"agnostic-rand {agnostic_rand.__version__}")
        raise typer.Exit


@app.command()
def demo(
    out: Annotated[Path, typer.Option(metavar="PATH", help="The folder for figures and scores.")] = Path(
        "sanity-report"
    ),
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="The root of all randomness.")] = 0,
    draws: Annotated[int, typer.Option(min=1, metavar="N", help="How often each step is drawn.")] = 3,
) -> None:
    """Train a small CNN on real digits, check the built-in explainers, write a report."""
    from agnostic_rand.cli import console

    with console.clean_exit():
        from agnostic_rand.cli import demo as digits_demo
        from agnostic_rand.cli.progress import progress_bar
        from agnostic_rand.report.folder import prepare_folder, write_output
        from agnostic_rand.weights import Streams

        prepare_folder(out)
        screen, streams = console.out_console(), Streams(seed)
        digits = digits_demo.load_digits(streams)
        net = digits_demo.train_net(digits, streams)
        console.say(
            screen,
            f"Trained a small CNN on {len(digits.train_labels):,} of scikit-learn's digits (32x32) in "
            f"{net.seconds:.1f} s: {net.accuracy:.1%} of {len(digits.test_labels)} test images right.",
        )
        with progress_bar(console.err_console()) as bar:
            found = digits_demo.demonstrate(net, digits, seed=seed, draws=draws, progress=bar)
        console.report(screen, found.results, "spearman")
        written = write_output(out, found.results, "spearman", found.strip, f"a digit {found.label}")
        console.say_written(screen, out, written)


@app.command()
def cascade(
    model: Annotated[
        str,
        typer.Argument(metavar="PKG.MODULE:NAME", help="A function that returns the model, or the model itself."),
    ],
    data: Annotated[
        Path, typer.Option(metavar="PATH", help="An .npz file of inputs and targets, or an .npy file of inputs.")
    ],
    inputs: Annotated[
        str | None, typer.Option(metavar="KEY", help="The array of inputs; found by its name if left out.")
    ] = None,
    targets: Annotated[
        str | None,
        typer.Option(
            metavar="KEY",
            help="The array of labels; found by its name if left out. 'predicted' and 'dynamic' explain the "
            "trained and the current model's predictions.",
        ),
    ] = None,
    explainers: Annotated[
        str, typer.Option(metavar="NAMES", help="Names or pkg.module:function, separated by commas.")
    ] = "gradient,random_map,input_map",
    strategy: Annotated[
        Strategy, typer.Option(metavar="NAME", help="cascading, progressive, independent or full.")
    ] = Strategy.cascading,
    order: Annotated[
        Order | None,
        typer.Option(metavar="NAME", help="Where a cascade starts: top_down (if left out) or bottom_up."),
    ] = None,
    stop_layer: Annotated[
        str | None,
        typer.Option(
            metavar="STOP",
            help="Where a progressive randomization stops: a count, a share such as 0.25, or a layer's name "
            "(name:0 where it looks like a number).",
        ),
    ] = None,
    groups: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Randomize layers in this many blocks.")
    ] = None,
    measures: Annotated[
        str, typer.Option(metavar="NAMES", help="Similarities, separated by commas; tables show the first.")
    ] = "spearman,spearman_abs",
    draws: Annotated[int, typer.Option(min=1, metavar="N", help="How often each step is drawn.")] = 1,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="The root of all randomness.")] = 0,
    batch_size: Annotated[int, typer.Option(min=1, metavar="N", help="Samples that the model takes at once.")] = 64,
    backend: Annotated[str | None, typer.Option(metavar="NAME", help="Where several fit the model.")] = None,
    isolation: Annotated[
        Isolation | None,
        typer.Option(metavar="NAME", help="clone (if left out) or in_place: restored bit for bit."),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Take only this many samples, from the start.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="A folder for figures and scores, or a file: .npz, .json or .csv. HTML is yet to come.",
        ),
    ] = None,
) -> None:
    """Randomize your model step by step, and score how much of its explanations survives.

    Modules are found in the current directory too.
    """
    from agnostic_rand.cli import console

    with console.clean_exit():
        from agnostic_rand.checks.model_randomization import ModelRandomization
        from agnostic_rand.cli.loading import load_data, load_explainers, load_model
        from agnostic_rand.cli.progress import progress_bar
        from agnostic_rand.report.folder import prepare_output, write_output
        from agnostic_rand.report.maps import recorded
        from agnostic_rand.similarity import resolve_measures
        from agnostic_rand.subject.subject import Subject

        methods = load_explainers(explainers)
        chosen = resolve_measures([name.strip() for name in measures.split(",")])
        plan = _strategy(strategy, order, stop_layer, groups)
        if out is not None:
            prepare_output(out, len(methods))
        samples = load_data(data, inputs=inputs, targets=targets, limit=limit)
        network = load_model(model)
        screen = console.out_console()
        console.say(screen, samples.description)
        with progress_bar(console.err_console()) as bar:
            subject = Subject(
                network,
                samples.inputs,
                samples.targets,
                seed=seed,
                batch_size=batch_size,
                backend=backend,
                isolation=isolation,
                progress=bar,
            )
            results, strip = recorded(ModelRandomization(plan, draws, chosen), subject, methods)
        console.report(screen, results, chosen[0].name)
        if out is not None:
            console.say_written(screen, out, write_output(out, results, chosen[0].name, strip))


@app.command()
def backends() -> None:
    """List the installed backends: usable or not, and why not."""
    from agnostic_rand.cli import console
    from agnostic_rand.report.tables import backends_table

    with console.clean_exit():
        console.out_console().print(backends_table(agnostic_rand.backends()))


def _strategy(
    strategy: Strategy, order: Order | None, stop_layer: str | None, groups: int | None
) -> ModelRandomizationStrategy:
    from agnostic_rand.errors import ArgumentError
    from agnostic_rand.weights import (
        CascadingRandomization,
        FullRandomization,
        IndependentRandomization,
        ProgressiveLayerRandomization,
    )

    for option, value, owner in (
        ("--order", order, Strategy.cascading),
        ("--stop-layer", stop_layer, Strategy.progressive),
    ):
        if value is not None and strategy is not owner:
            raise ArgumentError(
                option,
                expected=f"--strategy {owner}, to which it belongs",
                received=f"--strategy {strategy}",
                fix=f"Leave {option} out, or pass --strategy {owner}.",
            )
    if strategy is Strategy.cascading:
        return CascadingRandomization(groups=groups, order=(order or Order.top_down).value)
    if strategy is Strategy.progressive:
        return ProgressiveLayerRandomization(groups=groups, stop_layer=_stop(stop_layer or "0.25"))
    return (IndependentRandomization if strategy is Strategy.independent else FullRandomization)(groups=groups)


def _stop(word: str) -> str | int | float:
    """A count, a share or a layer's name, as they look; `name:` keeps a name that looks like a number."""
    if word.startswith("name:"):
        return word.removeprefix("name:")
    for kind in (int, float):
        try:
            return kind(word)
        except ValueError:
            continue
    return word
