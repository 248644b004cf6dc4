"""A bilevel model's single-level form as a file that other solvers read: ``.lp``, ``.nl`` or ``.mps``.

Pyomo's own writers do the work, with the model's names in the file. What a format cannot say is refused with the
format or the treatment that can: a file that silently lacks its complementarity would be a relaxation.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyomo.environ as pyo

from bilevel.errors import OptionError, RefusedError
from bilevel.kkt.transformation import KKTTransformation, treatment_for

FORMATS = (".lp", ".nl", ".mps")
UNTREATED = "none"
_READERS = {".mps": "highs"}  # a format whose sets of type 1 nobody reads is for those that take none


def write(model: Any, path: str | Path, complementarity: str = "auto") -> str:
    """Write the single-level model.

    Parameters
    ----------
    model : ConcreteModel
        With its LowerLevels; stays as it is.
    path : str or Path
        Ends in ``.lp``, ``.nl`` or ``.mps``.
    complementarity : str
        Name of a treatment; ``auto`` is ``sos1``, in a ``.mps`` file ``big_m``, and ``none`` leaves the pairs out: the
        file then holds a relaxation.

    Returns
    -------
    str
        What was written, in a sentence.

    Raises
    ------
    OptionError
        If the ending is none of the three, or the file cannot be written.
    RefusedError
        If the format cannot say what the model holds.
    """
    path = Path(path)
    if path.suffix not in FORMATS:
        raise OptionError(f"{path}: the ending says which format, and is one of {', '.join(FORMATS)}")
    name = treatment_for(complementarity, _READERS.get(path.suffix))
    treatment = None if name == UNTREATED else name
    single = KKTTransformation().create_using(model, complementarity=treatment)
    sets = list(single.component_data_objects(pyo.SOSConstraint, active=True, descend_into=True))
    if sets and path.suffix == ".mps":
        raise RefusedError(
            f"{path}: neither SCIP nor HiGHS reads the special ordered sets ({sets[0].name}) of Pyomo's MPS writer;"
            " write a .lp file, or choose complementarity='big_m'"
        )
    _write(single, path)
    pairs = single.bilevel_kkt.pairs
    what = "left out: a relaxation" if treatment is None else f"treated by {name}"
    return f"wrote {path}: the single-level model, its {len(pairs)} complementarity pairs {what}"


def _write(single: Any, path: Path) -> None:
    try:
        single.write(str(path), io_options={"symbolic_solver_labels": True})
        if path.suffix == ".lp":  # SCIP 10 takes x^2 and x ^2, and "x ^ 2", as Pyomo writes it, for an error
            path.write_text(path.read_text(encoding="utf-8").replace(" ^ 2\n", " ^2\n"), encoding="utf-8")
    except OSError as error:
        raise OptionError(f"{path} cannot be written: {error.strerror}; choose another place") from error
    except (ValueError, RuntimeError, NotImplementedError) as error:
        path.unlink(missing_ok=True)  # half a file is worse than none
        cure = "write a .nl file" if path.suffix != ".nl" else "simplify that expression"
        raise RefusedError(f"{path.suffix} cannot hold this model: {' '.join(str(error).split())}; {cure}") from error
