"""Replacement of a file: the new one is complete when it takes the old one's place."""

from __future__ import annotations

import contextlib
import os
import re
import stat
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from agnostic_rand.errors import ArgumentError

if sys.platform != "win32":
    import fcntl

_NEW_FILE = 0o666


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A new file, which takes the place of `path` when the block ends, and is gone where it fails.

    The mode of an older file is kept, and a link is written through. What a killed process left
    beside the file is removed.

    Args:
        path: The file; its folder is there.

    Raises:
        ArgumentError: The file cannot be written; it names `path`.
    """
    with writing(path):
        target = Path(os.path.realpath(path))
        mode = _mode(target)
        _remove_abandoned(target)
        draft = target.with_name(f"{_prefix(target)}{uuid.uuid4().hex}.part")
        try:
            with _locked(draft, _NEW_FILE if mode is None else mode) as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
                if mode is not None:
                    os.chmod(draft, mode)
                if sys.platform == "win32":
                    file.close()
                os.replace(draft, target)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise


@contextmanager
def writing(path: str | os.PathLike[str]) -> Iterator[None]:
    """Say which path could not be written, and why.

    Raises:
        ArgumentError: An `OSError` was raised within.
    """
    try:
        yield
    except OSError as error:
        folder = Path(path).parent
        missing = isinstance(error, FileNotFoundError) and not folder.exists()
        raise ArgumentError(
            f"the output {os.fspath(path)!r}",
            expected="a place that can be written, with room on the disk",
            received=f"no folder {str(folder)!r}" if missing else error.strerror or str(error),
            fix="Make the folder first." if missing else "Free some space, or pass another place.",
        ) from error


def _mode(target: Path) -> int | None:
    """The mode of the file that is there, or `None`."""
    try:
        found = os.stat(target).st_mode
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(found):
        raise OSError(0, "It is a folder" if stat.S_ISDIR(found) else "It is no regular file")
    return stat.S_IMODE(found)


def _prefix(target: Path) -> str:
    # Cut, so that the longest name that a file may have can be replaced too.
    return f".{target.name[:40]}."


def _locked(draft: Path, mode: int) -> BinaryIO:
    """A new file with a lock that ends with the process, whatever ends it: others see that somebody writes."""
    while True:
        file = open(draft, "xb", opener=lambda name, flags: os.open(name, flags, mode))  # noqa: SIM115
        if sys.platform == "win32":
            return file
        # Some network file systems have no locks: what is left behind there stays.
        with contextlib.suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
        if os.fstat(file.fileno()).st_nlink:
            return file
        # Another process took it for abandoned before it was locked.
        file.close()


def _remove_abandoned(target: Path) -> None:
    """Remove what killed processes left: drafts that nobody has locked (on Windows, that nobody holds open)."""
    pattern = re.compile(re.escape(_prefix(target)) + "[0-9a-f]{32}\\.part")
    names: list[str] = []
    # A folder that cannot be listed, and a draft that is another's or gone by now, are no fault of this file.
    with contextlib.suppress(OSError):
        names = os.listdir(target.parent)
    for name in filter(pattern.fullmatch, names):
        with contextlib.suppress(OSError):
            _remove_unlocked(target.with_name(name))


def _remove_unlocked(draft: Path) -> None:
    if sys.platform == "win32":
        draft.unlink()
        return
    with draft.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        draft.unlink()
