"""CasADi's C cut into functions of bounded length, so that compiling takes time in proportion to the whole.

CasADi writes one function however long it is, a line per instruction on local variables, and a compiler's effort grows
faster than a function's length: 75,000 lines take minutes and gigabytes. The lines are cut into parts; what one part
leaves for a later one stands in an array between them. Every line stays as it is, and with it every last digit.
"""

from __future__ import annotations

import re

_LENGTH = 1000  # lines of a part: shorter ones gain nothing more
_VARIABLE = re.compile(r"\ba\d+\b")
_HEAD = re.compile(
    r"^static int (casadi_f0)\(const casadi_real\*\* arg, casadi_real\*\* res,[^\n]*\{\n((?:  casadi_real [^=;]*;\n)*)",
    re.MULTILINE,
)
_TAIL = "  return 0;\n}\n"
_ARGUMENTS = "const casadi_real** arg, casadi_real** res, casadi_real* between"


def in_parts(source: str, length: int = _LENGTH) -> str:
    """The same program in shorter functions; as it is where it is short, or not of the form that is known."""
    head = _HEAD.search(source)
    end = -1 if head is None else source.find(_TAIL, head.end())
    if head is None or end < 0:
        return source
    lines = source[head.end() : end].splitlines()
    if len(lines) <= length or not all(line.endswith(";") for line in lines):
        return source
    parts = [lines[k : k + length] for k in range(0, len(lines), length)]
    needs, gives = zip(*map(_traffic, parts), strict=True)
    places: dict[str, int] = {}
    later: set[str] = set()
    bodies: list[str] = []
    for k in range(len(parts) - 1, -1, -1):
        kept = sorted(later & gives[k])
        bodies.append(_part(k, parts[k], sorted(needs[k]), kept, sorted(needs[k] | gives[k]), places))
        later = (later - gives[k]) | needs[k]
    signature = source[head.start() : head.start(2)]
    calls = "".join(f"  part_{k}(arg, res, between);\n" for k in range(len(parts)))
    room = f"  casadi_real between[{max(len(places), 1)}];\n"
    return source[: head.start()] + "\n".join(reversed(bodies)) + "\n" + signature + room + calls + source[end:]


def _traffic(lines: list[str]) -> tuple[set[str], set[str]]:
    """The variables that lines read before they write them, and those that they write."""
    needs: set[str] = set()
    gives: set[str] = set()
    for line in lines:
        target, _, value = line.partition("=") if line.startswith("  a") else ("", "", line)
        needs |= set(_VARIABLE.findall(value)) - gives
        gives |= set(_VARIABLE.findall(target))
    return needs, gives


def _part(k: int, lines: list[str], needs: list[str], kept: list[str], used: list[str], places: dict[str, int]) -> str:
    """One function: what it needs read from between, the lines, what is needed later written there."""
    declared = [f"  casadi_real {', '.join(used)};"] if used else []
    read = [f"  {name}=between[{places.setdefault(name, len(places))}];" for name in needs]
    written = [f"  between[{places.setdefault(name, len(places))}]={name};" for name in kept]
    return "\n".join([f"static void part_{k}({_ARGUMENTS}) {{", *declared, *read, *lines, *written, "}", ""])
