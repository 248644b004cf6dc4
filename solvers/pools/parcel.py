"""A problem on its way to a worker: in bytes, and compiled there."""

from __future__ import annotations

import sys
from typing import Any

from bilevel import registry
from bilevel.contracts.engine import Engine
from bilevel.errors import OptionError, with_its_kind
from bilevel.files import model_files
from bilevel.programs.compilation import Compilation
from bilevel.reading.problem import Problem
from bilevel.response.response import Response


def packed(problem: Problem, extra: Any = None) -> bytes:
    """All that a worker needs, in bytes: the problem, the user's engines, and whatever goes with them.

    Raises
    ------
    OptionError
        If the model cannot be handed to another process.
    """
    import cloudpickle

    modules = model_files.loaded_modules()
    for module in modules:
        cloudpickle.register_pickle_by_value(module)
    try:
        foreign = [part for part in registry.foreign() if issubclass(part, Engine)]
        parcel: bytes = cloudpickle.dumps((problem.model, str(problem.attitude), extra, foreign, sys.path))
    except Exception as error:
        raise OptionError(
            f"the model cannot be handed to worker processes ({with_its_kind(error)}); take workers=1"
        ) from error
    finally:
        for module in modules:
            cloudpickle.unregister_pickle_by_value(module)
    return parcel


def unpacked(parcel: bytes) -> tuple[Response, Any]:
    """In a worker: the response of the problem, compiled, and what came with it."""
    import cloudpickle

    model, attitude, extra, foreign, path = cloudpickle.loads(parcel)
    sys.path += [folder for folder in path if folder not in sys.path]
    registry.admit(foreign)
    compilation = Compilation(Problem.read(model, attitude))
    return Response(compilation.problem, compilation=compilation, warm=False), extra
