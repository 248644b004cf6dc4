"""Machine code for a compiled graph, made in the background once interpreting it has cost as much as compiling would.

CasADi writes the C, the machine's compiler turns it into a library, kept by the hash of its source in the user's cache
folder between runs. Contraction of floating-point operations is off, so that the results are those of the interpreter
to the last bit: when the swap happens cannot be seen in a history. Without a compiler, or where anything fails, the
interpreter goes on. ``BILEVEL_NATIVE=0`` switches it off.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import casadi as ca

SMALLEST = 3000
"""Instructions below which the call costs more than the arithmetic, so that machine code gains nothing."""

LARGEST = 400_000
"""Instructions above which a compiler takes minutes."""

_FLAGS = ("-O1", "-ffp-contract=off", "-fPIC", "-shared")


def cache_folder() -> Path:
    """Where libraries are kept: ``$XDG_CACHE_HOME/bilevel``, or ``~/.cache/bilevel``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bilevel"


def compiler() -> str | None:
    """The C compiler, unless switched off."""
    if os.environ.get("BILEVEL_NATIVE", "1") == "0":
        return None
    return shutil.which(os.environ.get("CC", "cc")) or shutil.which("gcc")


# Compiles, and moves the library into place in one step, so that no process loads half of one.
_KEEP = 'made=$1 kept=$2 work=$3; shift 3; "$@" && mv "$made" "$kept"; rm -rf "$work"'


class Native:
    """The library of one function, on its way.

    Parameters
    ----------
    function : casadi.Function
        Named ``f``, without external calls.
    """

    def __init__(self, function: ca.Function) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._library: Path | None = None
        command = compiler()
        if command is None:
            return
        try:
            self._begin(function, command)
        except (OSError, RuntimeError):
            self._library = None

    def _begin(self, function: ca.Function, command: str) -> None:
        generator = ca.CodeGenerator("f.c")
        generator.add(function)
        source = generator.dump()
        key = hashlib.sha256("\n".join([source, command, *_FLAGS]).encode()).hexdigest()[:32]
        folder = cache_folder()
        folder.mkdir(parents=True, exist_ok=True)
        self._library = folder / f"{key}.so"
        if self._library.exists():
            return
        work = Path(tempfile.mkdtemp(prefix="bilevel-", dir=folder))
        (work / "f.c").write_text(source, encoding="utf-8")
        made = work / "f.so"
        compile_it = [command, *_FLAGS, str(work / "f.c"), "-o", str(made), "-lm"]
        # The shell goes on when this process has ended: what was begun is there for the next run.
        arguments = ["sh", "-c", _KEEP, "sh", str(made), str(self._library), str(work), *compile_it]
        quiet = subprocess.DEVNULL
        self._process = subprocess.Popen(arguments, stdin=quiet, stdout=quiet, stderr=quiet)

    @property
    def pending(self) -> bool:
        """Whether it is worth asking again later."""
        return self._process is not None and self._process.poll() is None

    def load(self) -> ca.Function | None:
        """The function in machine code, or None where there is none (yet)."""
        if self.pending or self._library is None:
            return None
        try:
            return ca.external("f", str(self._library)) if self._library.exists() else None
        except (OSError, RuntimeError):
            return None
