"""Threads that work on host arrays: one for each core, started once.

Starting a thread beside a framework's own busy ones takes longer than scoring a small batch.
"""

from __future__ import annotations

import os
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import cache


@cache
def host_threads() -> Executor:
    """The threads of this process. What they run must not wait for other work of theirs."""
    return ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="agnostic_rand")


if hasattr(os, "register_at_fork"):
    # Threads do not live on in a forked process, but the object that waits for them would.
    os.register_at_fork(after_in_child=host_threads.cache_clear)
