"""Archive of a result: one `.npz` file of arrays and a description in JSON; see `docs/file-format.md`."""

from __future__ import annotations

import io
import json
import math
import os
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias, TypeVar
from urllib.parse import quote

import numpy as np

from agnostic_rand.adapters import HostArray
from agnostic_rand.arguments import whole_number
from agnostic_rand.errors import ArgumentError
from agnostic_rand.results.replacement import replacing

FILE_FORMAT = 3
"""The one format that is written and read."""

LEAST_BOUND, BOUND_RATIO = 2**28, 8
"""What a file may unpack to: 256 MiB, or 8 times its own size where that is more. Scores barely shrink."""

_T = TypeVar("_T")
Take: TypeAlias = Callable[[str], HostArray]
"""The array of a name; raises `ArgumentError` where there is none."""

Restore: TypeAlias = Callable[[dict[str, Any], Take], _T]
"""Makes a result from its description and arrays; raises `ArgumentError` where they are not as they should be."""

_DESCRIPTION = "description"
_FIX = "Pass a file that save() wrote."
# What a name in a zip file may hold as it is; anything else is percent-encoded.
_PLAIN = "".join(set(map(chr, range(32, 127))) - set("%\\"))


def plain(value: Any) -> Any:
    """The value as lists, dictionaries, words and numbers for JSON; numbers that are not finite are `None`."""
    if isinstance(value, Mapping):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(one) for one in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


def write_archive(
    path: str | os.PathLike[str], kind: str, description: Mapping[str, Any], arrays: Mapping[str, HostArray]
) -> None:
    """Write one file, which replaces an older one only when it is complete.

    Raises:
        ArgumentError: The file cannot be written.
    """
    text = json.dumps({"format": FILE_FORMAT, "kind": kind, **description}, allow_nan=False)
    members = {_member(name): array for name, array in arrays.items()}
    with replacing(path) as file:
        np.savez_compressed(file, **{_DESCRIPTION: np.array(text)}, **members)  # type: ignore[arg-type]


def read_archive(
    path: str | os.PathLike[str], kinds: Mapping[str, Restore[_T]], most_bytes: int | None = None
) -> _T:
    """The result in a file.

    Args:
        path: The file.
        kinds: By kind of result, how it is made.
        most_bytes: What the file may unpack to; by default 256 MiB, or 8 times its size where that is more.

    Raises:
        FileNotFoundError: There is no such file.
        ArgumentError: It holds no such result, is damaged, or unpacks to more; the message names the file.
    """
    if most_bytes is not None:
        whole_number("most_bytes", most_bytes, least=1, example=2**30)
    name = f"the file {os.fspath(path)!r}"
    try:
        described, members = _unpacked(Path(path), name, most_bytes)
    except (FileNotFoundError, ArgumentError):
        raise
    except Exception as error:
        raise _refusal(
            name,
            f"a result saved by this library (file format {FILE_FORMAT})",
            error.strerror or str(error) if isinstance(error, OSError) else f"something else ({error})",
        ) from error
    kind = described.pop("kind", None)
    if not isinstance(kind, str) or kind not in kinds:
        raise _refusal(
            name,
            f"the kind {' or '.join(kinds)}",
            f"{kind!r:.80}",
            "Use agnostic_rand.load, which reads every kind." if isinstance(kind, str) else _FIX,
        )
    taken: set[str] = set()

    def take(array: str) -> HostArray:
        taken.add(_member(array))
        if _member(array) not in members:
            raise ArgumentError(f"the array {array!r}", expected="numbers", received="none", fix=_FIX)
        return members[_member(array)]

    try:
        result = kinds[kind](described, take)
    except ArgumentError as error:
        raise _refusal(name, f"{error.expected} as {error.subject}", error.received) from error
    if unread := members.keys() - taken:
        raise _refusal(name, "the arrays that it describes", f"others too: {', '.join(sorted(unread)[:5])}")
    return result


def _member(name: str) -> str:
    return quote(name, safe=_PLAIN, errors="surrogatepass")


def _unpacked(path: Path, name: str, most_bytes: int | None) -> tuple[dict[str, Any], dict[str, HostArray]]:
    with path.open("rb") as file, zipfile.ZipFile(file) as zipped:
        members = zipped.infolist()
        bound = most_bytes or max(LEAST_BOUND, BOUND_RATIO * os.fstat(file.fileno()).st_size)
        if (size := sum(member.file_size for member in members)) > bound:
            raise _refusal(
                name,
                f"a file that unpacks to at most {bound:,} bytes",
                f"one that unpacks to {size:,} bytes",
                f"Pass most_bytes={size} to agnostic_rand.load if you trust it.",
            )
        if len({member.filename for member in members}) < len(members):
            raise ValueError("an array stands twice")
        found = {member.filename.removesuffix(".npy"): _array(zipped, member) for member in members}
    text = found.pop(_DESCRIPTION)
    if text.shape or text.dtype.kind != "U":
        raise ValueError("the description is no text")
    described = json.loads(text.item(), object_pairs_hook=_once, parse_constant=_no_constant)
    if not isinstance(described, dict):
        raise ValueError("the description is no mapping")
    if (version := described.pop("format", None)) != FILE_FORMAT or isinstance(version, bool):
        newer = isinstance(version, int) and version > FILE_FORMAT
        raise _refusal(
            name,
            f"file format {FILE_FORMAT}",
            f"file format {version!r:.80}",
            "Install a newer agnostic-rand." if newer else "Run the check again and save what it finds.",
        )
    return described, found


def _array(zipped: zipfile.ZipFile, member: zipfile.ZipInfo) -> HostArray:
    """One array, whose header is compared with its size before anything of that size is made."""
    # Other methods unpack whole blocks at once, however large.
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError("an array is packed in a way that NumPy does not use")
    with zipped.open(member) as packed:
        # With a number: without, all is unpacked before the directory's size cuts it off.
        data = packed.read(member.file_size)
    stream = io.BytesIO(data)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    shape, by_column, dtype = readers[np.lib.format.read_magic(stream)](stream)
    start = stream.tell()
    if math.prod(shape) * dtype.itemsize != len(data) - start:
        raise ValueError(f"{member.filename} is not of the size that it says")
    values = np.frombuffer(data, dtype, offset=start).reshape(shape, order="F" if by_column else "C")
    return values.astype(dtype.newbyteorder("="), copy=False)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name stands twice in the description")
    return found


def _no_constant(word: str) -> None:
    raise ValueError(f"the description has a number {word}")


def _refusal(name: str, expected: str, received: str, fix: str = _FIX) -> ArgumentError:
    return ArgumentError(name, expected=expected, received=received, fix=fix)
