"""What runs inside an isolated process: it is given a function, calls it as often as it is asked to, and keeps order.

Run by its path, so that nothing is imported before the function wants it; the parent speaks to it over two pipes of
their own, and standard output is the function's. A frame is its length in eight bytes and a pickle.
"""

from __future__ import annotations

import os
import pickle
import sys
import threading
from contextlib import suppress
from typing import Any

_HEAD = 8


def main(reads: int, writes: int) -> None:
    """Serve until the parent closes its end; a process that the function forked never comes back here."""
    me, home = os.getpid(), os.getcwd()
    path, memory, packed = _receive(reads)
    sys.path[:] = path
    _limit(memory)
    outcome, function = _attempt(lambda: pickle.loads(packed))
    _send(writes, (outcome if outcome[0] == "failed" else ("ready", None), False))
    while True:
        arguments = _receive(reads)
        with suppress(OSError):  # the folder may be gone
            os.chdir(home)
        outcome, _ = _attempt(lambda: function(*arguments))  # noqa: B023 (called at once)
        if os.getpid() != me:
            os._exit(0)
        _send(writes, (outcome, _spoiled(outcome)))


def _attempt(work: Any) -> tuple[tuple[str, Any], Any]:
    """An answer or what was raised, SystemExit too; and the answer itself."""
    try:
        found = work()
    except BaseException as error:
        return ("failed", (_with_its_kind(error), isinstance(error, MemoryError))), None
    return ("answer", found), found


def _with_its_kind(error: BaseException) -> str:
    """As :func:`bilevel.errors.with_its_kind`, which is not imported here."""
    try:
        said = str(error)
    except Exception:
        said = ""
    return f"{type(error).__name__}: {said}".removesuffix(": ")


def _spoiled(outcome: tuple[str, Any]) -> bool:
    """Whether the process is not to be used again: a thread goes on in it, or its memory is full."""
    going = [t for t in threading.enumerate() if t is not threading.main_thread() and not t.daemon]
    return bool(going) or (outcome[0] == "failed" and outcome[1][1])


def _limit(memory: int | None) -> None:
    """Bytes of memory of this process: on Linux what it writes to, elsewhere its addresses."""
    if memory is not None:
        import resource

        kind = resource.RLIMIT_DATA if sys.platform == "linux" else resource.RLIMIT_AS
        resource.setrlimit(kind, (memory, memory))


def _receive(descriptor: int) -> Any:
    length = int.from_bytes(_read(descriptor, _HEAD), "big")
    return pickle.loads(_read(descriptor, length))


def _read(descriptor: int, count: int) -> bytes:
    parts = []
    while count:
        part = os.read(descriptor, min(count, 1 << 20))
        if not part:
            os._exit(0)  # the parent is done, or gone
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def _send(descriptor: int, message: Any) -> None:
    try:
        packed = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    except Exception as error:
        text = f"what it returned cannot be handed over ({_with_its_kind(error)})"
        packed = pickle.dumps((("failed", (text, False)), False))
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):  # closed by the function
            stream.flush()
    rest = memoryview(len(packed).to_bytes(_HEAD, "big") + packed)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
