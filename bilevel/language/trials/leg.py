"""One leg of a training that goes on from a state: where the state lies, and how many steps to go.

States are files in a folder, so that a leg is a small frozen value that travels to whoever evaluates it, and a run that
died goes on from what lies there (Jaderberg et al. 2017, *Population based training of neural networks*, section 3).
"""

from __future__ import annotations

import os
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote


@dataclass(frozen=True)
class Leg:
    """What a response function declared with ``steps`` is asked for.

    Attributes
    ----------
    folder : str
        Where states lie.
    place : int
        Of the evaluation, whose state it leaves there.
    after : int or None
        The evaluation that it goes on from; None at the beginning.
    steps : int
        How many to go.
    """

    folder: str
    place: int
    after: int | None
    steps: int

    def state(self, follower: str) -> Any:
        """What a follower's function left at the leg before; None at the beginning."""
        return None if self.after is None else pickle.loads(state_file(self.folder, self.after, follower).read_bytes())

    def leave(self, follower: str, state: Any) -> str:
        """Keep the state that this leg led to, whole or not at all; why that cannot be, else nothing."""
        file = state_file(self.folder, self.place, follower)
        beside = file.with_suffix(f".{os.getpid()}")
        try:
            beside.write_bytes(pickle.dumps(state, protocol=pickle.HIGHEST_PROTOCOL))
        except Exception as error:
            beside.unlink(missing_ok=True)
            return f"the state of {follower} cannot be kept ({type(error).__name__}: {error})"
        beside.replace(file)
        return ""


def state_file(folder: str | Path, place: int, follower: str) -> Path:
    """Where the state lies that a follower left at an evaluation."""
    return Path(folder) / f"{place}.{quote(follower, safe='')}.state"
