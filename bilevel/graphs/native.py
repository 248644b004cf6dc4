"""Machine code for a compiled graph, made in the background where it will gain more than making it costs.

CasADi writes the C, the machine's compiler turns it into a library, kept by the hash of its source in the user's cache
folder between runs. Contraction of floating-point operations is off, so that the results are those of the interpreter
to the last bit: when the swap happens cannot be seen in a history. Without a compiler, or where anything fails, the
interpreter goes on. ``BILEVEL_NATIVE=0`` switches it off.

The compiler is a guest. One runs at a time per user, however many programs want one (it holds the lock itself); it
yields to everything else, has a bound on memory and time, and ends with the program that wanted it: however that ends,
a pipe closes, and a watcher ends the group of processes.

Long graphs are compiled without optimization, in a third of the time: measured, 60 microseconds per instruction
against 190, for code that takes 2.7 nanoseconds per instruction against 2.2. The interpreter takes 7.9.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import casadi as ca

from bilevel import deadline
from bilevel.graphs.native_source import in_parts

SMALLEST = 3000
"""Instructions below which the call costs more than the arithmetic, so that machine code gains nothing."""

LARGEST = 400_000
"""Instructions above which a compiler takes minutes."""

_OPTIMIZED = 10_000  # instructions up to which optimizing is worth its time
_FLAGS = ("-ffp-contract=off", "-fPIC", "-shared")
_COMPILING = {"-O1": 190e-6, "-O0": 60e-6}  # seconds per instruction
_SAVED = {"-O1": 6e-9, "-O0": 5e-9}  # seconds per instruction and call
_MEMORY = 1_500_000  # kilobytes that the compiler may take
_LONGEST = 120  # seconds of processor time
_HIGH = 100  # descriptors below are the shell's
_NEARLY = 0.5  # seconds that it may be waited for at the end of the program

# Compiles, and moves the library into place in one step, so that no process loads half of one. Meanwhile a watcher
# waits for the end of standard input, which comes when the program that wanted it closes it or is gone.
_SCRIPT = """
made=$1 kept=$2 work=$3 memory=$4 seconds=$5; shift 5
ulimit -v "$memory"; ulimit -t "$seconds"
exec 9<&0
( read -r _ <&9; rm -rf "$work"; kill -9 -$$ ) > /dev/null 2>&1 &
watcher=$!
nice -n 19 "$@" < /dev/null && mv "$made" "$kept"
rm -rf "$work"
kill -9 $watcher
"""


def cache_folder() -> Path:
    """Where libraries are kept: ``$XDG_CACHE_HOME/bilevel``, or ``~/.cache/bilevel``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bilevel"


def compiler() -> str | None:
    """The C compiler, unless switched off."""
    if os.environ.get("BILEVEL_NATIVE", "1") == "0" or os.name != "posix":
        return None
    return shutil.which(os.environ.get("CC", "cc")) or shutil.which("gcc")


class Native:
    """The library of one function: found, or made on demand.

    Parameters
    ----------
    function : casadi.Function
        Named ``f``, without external calls.
    """

    def __init__(self, function: ca.Function) -> None:
        self._size = int(function.n_instructions())
        self._level = "-O1" if self._size <= _OPTIMIZED else "-O0"
        self._command = compiler()
        self._job: _Job | None = None
        self._failed = self._command is None
        self._source = ""
        self._library = Path()
        if self._failed:
            return
        try:
            generator = ca.CodeGenerator("f.c")
            generator.add(function)
            self._source = generator.dump()
            key = hashlib.sha256("\n".join([self._source, str(self._command), self._level, *_FLAGS]).encode())
            self._library = cache_folder() / f"{key.hexdigest()[:32]}.so"
        except (OSError, RuntimeError):
            self._failed = True

    @property
    def seconds(self) -> float:
        """What compiling takes, roughly."""
        return _COMPILING[self._level] * self._size

    @property
    def worth(self) -> int:
        """Calls from which making it is worth its time: as many again are expected, and in a later run as many more."""
        return int(0.5 * _COMPILING[self._level] / _SAVED[self._level])

    @property
    def pending(self) -> bool:
        """Whether it is worth asking again later: there is none yet, and nothing has gone wrong."""
        return not self._failed

    def make(self) -> None:
        """Begin to make it, unless it is there, another is being made, or the time for it is not left."""
        if self._failed or self._job is not None or self._library.exists():
            return
        if deadline.current().left < self.seconds:
            return
        try:
            self._job = self._begin()
        except (OSError, ImportError):
            self._failed = True

    def _begin(self) -> _Job | None:
        folder = cache_folder()
        folder.mkdir(parents=True, exist_ok=True)
        lock = _locked(folder / "compiling.lock")
        if lock is None:
            return None
        try:
            if self._library.exists():
                return None
            work = Path(tempfile.mkdtemp(prefix="bilevel-", dir=folder))
            (work / "f.c").write_text(in_parts(self._source), encoding="utf-8")
            made = work / "f.so"
            compile_it = [str(self._command), self._level, *_FLAGS, str(work / "f.c"), "-o", str(made), "-lm"]
            bounds = [str(_MEMORY), str(_LONGEST)]
            return _Job([str(made), str(self._library), str(work), *bounds, *compile_it], work, lock, self.seconds)
        finally:
            os.close(lock)

    def load(self) -> ca.Function | None:
        """The function in machine code, or None where there is none (yet)."""
        if self._failed:
            return None
        try:
            if self._library.exists():
                return ca.external("f", str(self._library))
        except (OSError, RuntimeError):
            self._failed = True
        self._failed = self._failed or (self._job is not None and self._job.ended)
        return None


class _Job:
    """One compiler at work, with the processes that go with it."""

    def __init__(self, arguments: list[str], work: Path, lock: int, seconds: float) -> None:
        self._work, self._due = work, time.monotonic() + seconds
        quiet = subprocess.DEVNULL
        self._process = subprocess.Popen(
            ["sh", "-c", _SCRIPT, "sh", *arguments],
            stdin=subprocess.PIPE,
            stdout=quiet,
            stderr=quiet,
            pass_fds=[lock],  # the lock is held for as long as any of them lives
            start_new_session=True,
        )
        atexit.register(self.close)

    @property
    def ended(self) -> bool:
        """Whether it is done, one way or the other."""
        if self._process.poll() is None:
            return False
        atexit.unregister(self.close)
        self._let_go()
        return True

    def close(self) -> None:
        """End it, unless it is about to end by itself."""
        left = self._due - time.monotonic()
        if 0.0 < left < _NEARLY and self._process.poll() is None:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_NEARLY)
        if self._process.poll() is None:
            with suppress(OSError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            shutil.rmtree(self._work, ignore_errors=True)
        self._let_go()

    def _let_go(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()


def _locked(path: Path) -> int | None:
    """A descriptor of the file, locked, with a number that no shell uses; None where another compiler holds it."""
    import fcntl

    with path.open("wb") as file:
        lock = fcntl.fcntl(file, fcntl.F_DUPFD_CLOEXEC, _HIGH)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        return None
    return lock
