"""Foreign words: names that come from elsewhere, as terminals, tables and figures may show them."""

from __future__ import annotations

from typing import Any

_UNKNOWN = 0xFFFD

# One character for one, so that columns stay in line: pictures of control codes, and a mark for
# the others, for what turns the direction of a line, and for halves of characters.
_PICTURES = {code: 0x2400 + code for code in range(32)} | {127: 0x2421}
_MARKS = (*range(0x80, 0xA0), 0x61C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A))
_SHOWN = _PICTURES | dict.fromkeys((*_MARKS, *range(0xD800, 0xE000)), _UNKNOWN)

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def printable(text: str) -> str:
    r"""One line of text in which nothing commands a terminal; as long as it was.

    Example:
        >>> printable("red \x1b[31m")
        'red ␛[31m'
    """
    return text.translate(_SHOWN)


def printable_lines(text: str) -> str:
    """As `printable`, for text of several lines."""
    return "\n".join(map(printable, text.split("\n")))


def drawable(text: str) -> str:
    r"""A name for a figure of matplotlib, which would read `$` as mathematics.

    Example:
        >>> drawable("cost in $ and $")
        'cost in \\$ and \\$'
    """
    return printable(text).replace("$", r"\$")


def drawable_lines(text: str) -> str:
    """As `drawable`, for text of several lines."""
    return "\n".join(map(drawable, text.split("\n")))


def cell(value: Any) -> Any:
    """A value for a table file, in which no word is a formula; numbers stay as they are.

    Source: OWASP, "CSV injection".

    Example:
        >>> cell("=1+1"), cell("conv1"), cell(-1.5)
        ("'=1+1", 'conv1', -1.5)
    """
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
