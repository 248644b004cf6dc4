"""One BLAS thread where the matrices are small: there threads cost more than they gain.

On a busy machine they cost a hundred times more: each of thousands of triangular solves waits until the system has
given all of them a turn. And they add up in another order each time.
"""

from __future__ import annotations

from functools import cache
from typing import Any


@cache
def _threads() -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def one_thread() -> Any:
    """A context in which BLAS has one thread."""
    return _threads().limit(limits=1, user_api="blas")
