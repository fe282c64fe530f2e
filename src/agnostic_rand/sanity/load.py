"""Loading of what was saved: scores or a sanity report, whichever a file holds."""

from __future__ import annotations

import os

from agnostic_rand.results import scores
from agnostic_rand.results.archive import Restore, read_archive
from agnostic_rand.results.scores import Scores
from agnostic_rand.sanity import report
from agnostic_rand.sanity.report import SanityReport


def load(path: str | os.PathLike[str], most_bytes: int | None = None) -> Scores | SanityReport:
    """The scores or the sanity report in a file that `save` wrote; nothing in it is run.

    Args:
        path: The file.
        most_bytes: What it may unpack to; by default 256 MiB, or 8 times its size where that is more.

    Raises:
        FileNotFoundError: There is no such file.
        ArgumentError: It is damaged, of another format, or unpacks to more; the message names the file.

    Example:
        >>> import agnostic_rand as ar, numpy as np, os, tempfile, torch
        >>> subject = ar.Subject(torch.nn.Linear(4, 3), np.eye(4, dtype="float32"), seed=0)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "scores.npz")
        ...     ar.ModelRandomization().run(subject, "input_map").save(path)
        ...     ar.load(path).explainer
        'input_map'
    """
    kinds: dict[str, Restore[Scores | SanityReport]] = {
        scores.KIND: Scores.restored,
        report.KIND: SanityReport.restored,
    }
    return read_archive(path, kinds, most_bytes)
