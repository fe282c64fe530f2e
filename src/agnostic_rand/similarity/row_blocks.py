"""Row blocks of large batches of maps on the host, scored by as many threads as there are cores."""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import pairwise

import numpy as np
from array_api_compat import is_numpy_array

from agnostic_rand.adapters import Array
from agnostic_rand.adapters.threads import host_threads

# Below this many elements threads cost more than they save.
_LARGE = 2**16

# Parts of about this many elements stay within a core's cache.
_BLOCK = 2**15


def by_rows(compute: Callable[..., Array], *batches: Array) -> Array:
    """What `compute` gives for batches of one length; each row must not depend on the others.

    Args:
        compute: Takes parts of the batches, `(m, ...)` each, returns `(m, ...)`.
        batches: Arrays `(n, ...)`. NumPy lets go of the interpreter while it works, so threads share
            large ones; other libraries have threads of their own.
    """
    last, threads = batches[-1], os.cpu_count() or 1
    if not is_numpy_array(last) or last.size < _LARGE:
        return compute(*batches)
    count = min(max(threads, last.size // _BLOCK), last.shape[0])
    edges = [last.shape[0] * i // count for i in range(count + 1)]
    parts = [[batch[start:stop] for batch in batches] for start, stop in pairwise(edges)]
    return np.concatenate(list(host_threads().map(lambda part: compute(*part), parts)))
