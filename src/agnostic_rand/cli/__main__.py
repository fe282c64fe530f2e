"""Main function of the script `agnostic-rand` and of `python -m agnostic_rand.cli`."""

from __future__ import annotations

import importlib
import sys

from agnostic_rand.errors import missing_extra

_INTERRUPTED = 130


def main() -> None:
    """Run the command line, or say what to install for it."""
    try:
        # Commands import it when they run, which would be too late to say so.
        importlib.import_module("rich")
        from agnostic_rand.cli.app import app
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in ("typer", "rich"):
            raise
        sys.stderr.write(f"error: {missing_extra('the command line', package, 'cli')}\n")
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
    app()


if __name__ == "__main__":
    main()
