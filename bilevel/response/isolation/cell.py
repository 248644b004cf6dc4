"""One process that holds a response function, and can be ended with all that it started.

A training run that hangs in a library cannot be stopped from within its process, and one that faults takes the search
with it. So the function lives in a process of its own, fresh (no fork: threads would be lost in it) and at the head of
a process group, asked over a pipe; at its limit the group is killed. A shell waits beside it for the parent to go,
however that happens, and kills the group then: nothing outlives a run, not even one that was killed itself.
"""

from __future__ import annotations

import os
import pickle
import selectors
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from bilevel.deadline import Deadline, current
from bilevel.errors import OptionError, with_its_kind
from bilevel.language.lower_level import Limits

_HEAD = 8  # bytes that say how long a frame is
_START = 60.0  # seconds for what the function's modules import, beside a call's own limit
_TAIL = 2000  # bytes of output kept
_SHOWN = 3  # lines of them in a message
_LOOK = 0.5  # seconds between looks at a process that may have died and left its pipe to another
_GUARD = 'read _; kill -9 "-$1" 2>/dev/null'


class Died(Exception):
    """The process ended by itself."""


class Cell:
    """A process that answers by one function.

    Parameters
    ----------
    function : callable
        Travels there once, by cloudpickle.
    limits : Limits
        Of each call.

    Raises
    ------
    OptionError
        If the function cannot travel, or the system has no process groups.
    """

    def __init__(self, function: Callable[..., Any], limits: Limits) -> None:
        if os.name != "posix":
            raise OptionError("isolate=True ends process groups, which this system has not; leave it out")
        self.function = function  # kept, so that nobody else has its id
        self.used = 0
        self._limits = limits
        packed = _packed(function)
        reads, self._writes = os.pipe()
        self._reads, writes = os.pipe()
        self._process = subprocess.Popen(
            [sys.executable, "-u", str(Path(__file__).with_name("inside.py")), str(reads), str(writes)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=(reads, writes),
            start_new_session=True,
            env={**os.environ, "PYTHONFAULTHANDLER": os.environ.get("PYTHONFAULTHANDLER", "")},
        )
        os.close(reads)
        os.close(writes)
        self._guard = subprocess.Popen(
            ["/bin/sh", "-c", _GUARD, "sh", str(self._process.pid)], stdin=subprocess.PIPE, start_new_session=True
        )
        assert self._process.stdout is not None
        self._output = self._process.stdout.fileno()
        os.set_blocking(self._output, False)
        self._tail = b""
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._reads, selectors.EVENT_READ)
        self._selector.register(self._output, selectors.EVENT_READ)
        self._greeting: tuple[Any, ...] | None = (sys.path, limits.memory, packed)

    def ask(self, arguments: tuple[Any, ...]) -> tuple[str, Any, bool]:
        """``answer`` or ``failed``, the answer or the reason, and whether the process may be asked again.

        Raises
        ------
        Died
            If the process ended by itself; says how, with the last lines of its output.
        """
        seconds = self._limits.seconds
        if self._greeting is not None:
            self._send(self._greeting)
            self._greeting = None
            found = self._before(None if seconds is None else seconds + _START, "its process took too long to start")
            if found[0][0] == "failed":
                return "failed", self._with_output(found[0][1][0]), False
        self._tail = b""
        self._send(arguments)
        self.used += 1
        (kind, what), spoiled = self._before(
            seconds, f"it took longer than the {seconds or 0:g} s that an evaluation may take"
        )
        if kind == "failed":
            return kind, self._with_output(what[0]), not spoiled
        return kind, what, not spoiled

    def _before(self, seconds: float | None, late: str) -> Any:
        """One message; of the clock, ``late`` or the run's own time, where that comes first."""
        mine = Deadline.after(seconds)
        until = min(mine, current(), key=lambda deadline: deadline.end)
        found = self._receive(until)
        if found is not None:
            return found
        return ("failed", (late if until is mine else "the time of the whole run was up", False)), True

    def _send(self, message: Any) -> None:
        packed = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
        rest = memoryview(len(packed).to_bytes(_HEAD, "big") + packed)
        try:
            while rest:
                rest = rest[os.write(self._writes, rest) :]
        except BrokenPipeError:
            raise self._death() from None

    def _receive(self, until: Deadline) -> Any:
        """One message; None where the deadline comes first."""
        parts, wanted, have, head = [], _HEAD, 0, True
        while True:
            left = until.left
            if left <= 0.0:
                return None
            ready = {key.fd for key, _ in self._selector.select(min(left, _LOOK))}
            if self._output in ready:
                self._listen()
            if self._reads in ready:
                part = os.read(self._reads, min(wanted - have, 1 << 20))
                if not part:
                    raise self._death()
                parts.append(part)
                have += len(part)
                if have == wanted:
                    whole = b"".join(parts)
                    if not head:
                        return pickle.loads(whole)
                    parts, wanted, have, head = [], int.from_bytes(whole, "big"), 0, False
            elif not ready and self._process.poll() is not None:
                raise self._death()

    def _listen(self) -> None:
        """Take what the function printed; its last bytes are kept."""
        with suppress(BlockingIOError):
            while part := os.read(self._output, 1 << 16):
                self._tail = (self._tail + part)[-_TAIL:]
            if self._output in {key.fd for key in self._selector.get_map().values()}:
                self._selector.unregister(self._output)

    def _death(self) -> Died:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_LOOK)
        code = self._process.poll()
        if code is None:
            how = "closed its pipe"
        elif code < 0:
            how = f"was ended by {signal.Signals(-code).name}"
        else:
            how = f"left with exit code {code}"
        return Died(self._with_output(f"its process {how}"))

    def _with_output(self, reason: str) -> str:
        with suppress(OSError, ValueError):
            self._listen()
        lines = [line.strip() for line in self._tail.decode(errors="replace").splitlines() if line.strip()]
        return f"{reason}; it printed last: {' | '.join(lines[-_SHOWN:])}" if lines else reason

    def end(self) -> None:
        """Kill the process and all that it started; nothing is left of it when this returns."""
        if self._guard.returncode is not None:
            return
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)  # not reaped yet: the number is still its own
        self._guard.kill()
        self._guard.wait()
        self._process.wait()
        assert self._guard.stdin is not None
        assert self._process.stdout is not None
        self._guard.stdin.close()
        self._selector.close()
        self._process.stdout.close()
        os.close(self._reads)
        os.close(self._writes)


def _packed(function: Callable[..., Any]) -> bytes:
    import cloudpickle

    own = [module for module in list(sys.modules.values()) if "__bilevel_file__" in getattr(module, "__dict__", ())]
    for module in own:
        cloudpickle.register_pickle_by_value(module)
    try:
        packed: bytes = cloudpickle.dumps(function)
    except Exception as error:
        raise OptionError(
            f"the response function cannot be handed to a process of its own ({with_its_kind(error)});"
            " let it make inside what cannot travel, or leave out isolate and its limits"
        ) from error
    finally:
        for module in own:
            cloudpickle.unregister_pickle_by_value(module)
    return packed
