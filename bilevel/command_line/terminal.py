"""Exit codes, and a terminal that goes away."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

FOUND, NONE_FOUND, WRONG, INTERRUPTED = 0, 1, 2, 130


def despite_a_broken_pipe(write: Callable[[], object]) -> None:
    """Write to standard output; a reader who left (``| head``) is no error, and what is left to do is still done."""
    try:
        write()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
