"""CasADi's warnings kept off the terminal while one of its solvers runs.

"NLP is overconstrained", an evaluation that is no number: what they say is in the solver's status, or a matter of the
iterations alone. CasADi writes them to Python's ``sys.stderr``.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout


class _Nowhere(io.TextIOBase):
    def write(self, text: str) -> int:
        return len(text)


_NOWHERE = _Nowhere()


@contextmanager
def silence() -> Iterator[None]:
    """Without a word."""
    with redirect_stderr(_NOWHERE), redirect_stdout(_NOWHERE):
        yield
