"""A bilevel model from a Python file: the user's own, or one of the gallery by name.

A model file is ordinary Python that holds a Pyomo model called ``model``, or a function ``create_model(**settings)``
that returns one. It is run by its location under a private module name, so that no file or folder of the user's can
collide with a name of ours (``models``, ``solvers``) and a file called like an installed package does no harm.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.machinery
import importlib.util
import itertools
import logging
import re
import sys
import traceback
import types
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bilevel.errors import LoadingError
from bilevel.files.arguments import arguments_of
from bilevel.files.texts import plain_suffix

if TYPE_CHECKING:
    from pyomo.core.base.block import BlockData

_WHAT_IT_NEEDS = "a Pyomo model called `model`, or a function `create_model(**settings)` that returns one"
_PRIVATE = "_bilevel_model_"
_count = itertools.count(1)
_folders: set[str] = set()  # of the files loaded so far


def load_model(source: str | Path, settings: Mapping[str, Any] | None = None) -> BlockData:
    """Load the model of a Python file, of an MPS or LP file with its AUX file (gzipped or not), or of a file of BOLIB.

    Parameters
    ----------
    source : str or Path
        Path to a Python, MPS, LP, AUX or BOLIB (``.m``) file, or a name from :func:`gallery`. A file that exists wins
        over a name.
    settings : dict, optional
        Arguments of the file's ``create_model``. Text, as it comes from the command line, is converted to the type of
        the parameter's annotation, else of its default.

    Returns
    -------
    ConcreteModel
        A fresh one: the file is run at every call.

    Raises
    ------
    LoadingError
        If there is no such file, it does not parse, it raises, it holds no model, or it has no such setting.

    Examples
    --------
    >>> from bilevel import load_model
    >>> model = load_model("toy", {"largest": 4})  # of the gallery, models/toy.py
    >>> model.x.bounds
    (0, 4)
    """
    path, shown = _locate(source), str(source)
    if plain_suffix(path) in (".mps", ".lp", ".aux"):
        return _instance(path, shown, settings)
    if plain_suffix(path) == ".m":
        return _problem_of_bolib(path, shown, settings)
    code = _compile(path, shown)
    module = _empty_module(path)
    with _running(path, shown):
        exec(code, module.__dict__)
        return _model_of(module, shown, dict(settings or {}))


def _instance(path: Path, shown: str, settings: Mapping[str, Any] | None) -> Any:
    """The model of an MPS or LP file and the AUX file beside it."""
    from bilevel.files.mps_aux import read_mps_aux

    _refuse_settings(shown, settings)
    return read_mps_aux(path)


def _problem_of_bolib(path: Path, shown: str, settings: Mapping[str, Any] | None) -> Any:
    """The model of a MATLAB function of BOLIB."""
    from bilevel.files.bolib.reader import read_bolib

    _refuse_settings(shown, settings)
    return read_bolib(path)


def _refuse_settings(shown: str, settings: Mapping[str, Any] | None) -> None:
    if settings:
        raise LoadingError(
            f"{shown} holds a finished model, so it has no setting {next(iter(settings))!r}; leave it out"
        )


def gallery() -> dict[str, Path]:
    """The models that ship, by name."""
    package = Path(__file__).parent.parent
    home = package if (package / "models").is_dir() else package.parent  # installed, or a checkout
    return {file.stem: file for file in sorted((home / "models").glob("[!_]*.py"))}


def _locate(source: str | Path) -> Path:
    path, models = Path(source).expanduser(), gallery()
    if path.suffix == ".ipynb":
        raise LoadingError(f"{source} is a notebook; export it first: jupyter nbconvert --to script {source}")
    if path.is_file():
        return path.resolve()
    if str(source) in models:
        return models[str(source)]
    if path.is_dir():
        raise LoadingError(f"{source} is a folder; name the model file in it")
    beside = path.with_suffix(".py") if path.name else path
    if beside != path and beside.is_file():
        raise LoadingError(f"there is no file {source}; do you mean {beside}?")
    close = difflib.get_close_matches(path.stem, models, n=3, cutoff=0.5)
    cure = f"did you mean {', '.join(close)} of the gallery?" if close else f"the gallery has {', '.join(models)}"
    raise LoadingError(f"there is no file {source}, and no model of that name in the gallery; {cure}")


def _compile(path: Path, shown: str) -> types.CodeType:
    try:
        # From bytes, so that a coding line counts; and not through a loader, which would write __pycache__ beside the
        # file and take a stale one for an edit within the same second.
        return compile(path.read_bytes(), str(path), "exec", dont_inherit=True)
    except SyntaxError as error:
        where = f"{shown}, line {error.lineno or 1}"
        raise LoadingError(f"{where}: not valid Python: {error.msg}; mend that line") from error
    except ValueError as error:
        raise LoadingError(f"{shown} is not a Python file ({error}); name one that holds {_WHAT_IT_NEEDS}") from error
    except OSError as error:
        raise LoadingError(f"{shown} cannot be read: {error.strerror}; check its permissions") from error


def _empty_module(path: Path) -> types.ModuleType:
    """A module of a name of its own in ``sys.modules``: pickling and dataclasses look their classes up there."""
    stem = re.sub(r"\W", "_", path.stem)
    name = f"{_PRIVATE}{next(_count)}_{stem}"
    loader = importlib.machinery.SourceFileLoader(name, str(path))
    spec = importlib.util.spec_from_file_location(name, path, loader=loader)
    assert spec is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    module.__dict__["__bilevel_file__"] = True  # no other process can import it by its name
    return module


def loaded_modules() -> list[types.ModuleType]:
    """The model files run so far, as modules: no other process can import them by their names."""
    return [module for name, module in list(sys.modules.items()) if name.startswith(_PRIVATE)]


def _model_of(module: types.ModuleType, shown: str, settings: dict[str, Any]) -> Any:
    create = getattr(module, "create_model", None)
    only = None if create is not None or hasattr(module, "model") else _only_model(module, shown)
    if only is not None:
        module.model = only  # type: ignore[attr-defined]
    if hasattr(module, "model") and not (settings and create is not None):
        if settings:
            raise LoadingError(
                f"{shown} holds a finished `model`, so it has no setting {next(iter(settings))!r};"
                " build the model in a function create_model(...) whose parameters are the settings"
            )
        return _insist(module.model, f"{shown}: `model`", "rename it, or make it a pyo.ConcreteModel()")
    if create is None:
        raise LoadingError(f"{shown} holds no model; it needs {_WHAT_IT_NEEDS}")
    if not callable(create):
        raise LoadingError(f"{shown}: create_model is a {type(create).__name__}; make it a function")
    made = create(**arguments_of(create, settings, shown))
    return _insist(made, f"{shown}: what create_model returns", "end it with `return model`")


def _only_model(module: types.ModuleType, shown: str) -> Any:
    """The model of a file that gave it another name, where there is but one."""
    from pyomo.core.base.PyomoModel import Model

    found = {id(value): value for value in vars(module).values() if isinstance(value, Model)}
    if len(found) > 1:
        names = ", ".join(name for name, value in vars(module).items() if isinstance(value, Model))
        raise LoadingError(f"{shown} holds several models ({names}) and none called `model`; rename the one to solve")
    return next(iter(found.values()), None)


def _insist(candidate: Any, what: str, cure: str) -> Any:
    from pyomo.core.base.block import BlockData

    if not isinstance(candidate, BlockData):
        found = "None" if candidate is None else f"of type {type(candidate).__name__}"
        raise LoadingError(f"{what} is {found}, not a Pyomo model; {cure}")
    if not candidate.is_constructed():
        raise LoadingError(f"{what} is an AbstractModel; call its create_instance(), or write a ConcreteModel")
    return candidate


@contextmanager
def _running(path: Path, shown: str) -> Iterator[None]:
    """Run code of the user's file: it can import its neighbours, and what it raises becomes one sentence."""
    with _neighbours(path.parent), _pyomo_held_back() as said:
        try:
            yield
        except LoadingError:
            raise
        except (Exception, SystemExit) as error:
            raise LoadingError(_blame(error, path, shown, said)) from error


@contextmanager
def _neighbours(folder: Path) -> Iterator[None]:
    """Let imports find the modules beside the file: before all else while it loads, after all else from then on.

    Response functions import when they are called, long after loading; but a folder that stayed in front could hide an
    installed package from whoever imports one later.
    """
    for name, module in list(sys.modules.items()):
        home = _home_of(name, module)
        if home in _folders and home != str(folder) and _holds(folder, name):
            for stale in [key for key in sys.modules if key == name or key.startswith(f"{name}.")]:
                del sys.modules[stale]  # a helper.py of another model's folder is not this one's
    importlib.invalidate_caches()
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
    _folders.add(str(folder))
    if str(folder) not in sys.path:
        sys.path.append(str(folder))


def _home_of(name: str, module: types.ModuleType) -> str | None:
    file = getattr(module, "__file__", None)
    if "." in name or not isinstance(file, str):
        return None
    parent = Path(file).parent
    return str(parent.parent if Path(file).stem == "__init__" else parent)


def _holds(folder: Path, name: str) -> bool:
    return (folder / f"{name}.py").is_file() or (folder / name / "__init__.py").is_file()


class _Held(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@contextmanager
def _pyomo_held_back() -> Iterator[_Held]:
    """Hold Pyomo's log back; what it says about an error goes into our one sentence, the rest is said afterwards."""
    import pyomo.common.log  # noqa: F401 - which attaches the handler that is to be taken off

    logger, held = logging.getLogger("pyomo"), _Held()
    handlers, logger.handlers = logger.handlers, [held]
    try:
        yield held
    finally:
        logger.handlers = handlers
    for record in held.records:
        logger.handle(record)


def _blame(error: BaseException, path: Path, shown: str, said: _Held) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == str(path)]
    where = f"{shown}, line {lines[-1]}" if lines else shown
    if isinstance(error, SystemExit):
        return f"{where}: the file ends the program by itself; put that under `if __name__ == '__main__':`"
    message = " ".join(str(error).split())
    components = (re.search(r"failed .*for (\w+ .+?):?\n", record.getMessage()) for record in said.records)
    place = next((f" in {match[1]}" for match in components if match), "")
    cure = "mend that line (--debug shows the whole traceback)"
    if isinstance(error, ModuleNotFoundError) and error.name and "." not in error.name:
        cure = f"install {error.name}, or put {error.name}.py beside the file"
    return f"{where}: {type(error).__name__}{place}: {message}; {cure}"
