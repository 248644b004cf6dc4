"""The terms of a sum in symbols, through sums, differences and constant factors."""

from __future__ import annotations

from collections.abc import Iterator

import casadi as ca


def summands(function: ca.SX) -> Iterator[tuple[ca.SX, float]]:
    """Each term with its factor; their products add up to the function."""
    stack = [(ca.SX(function), 1.0)]
    while stack:
        node, factor = stack.pop()
        op = node.op()
        if op in (ca.OP_ADD, ca.OP_SUB):
            stack += [(node.dep(1), factor if op == ca.OP_ADD else -factor), (node.dep(0), factor)]
        elif op in (ca.OP_NEG, ca.OP_TWICE):
            stack.append((node.dep(0), factor * (-1 if op == ca.OP_NEG else 2)))
        elif op == ca.OP_MUL and node.dep(0).is_constant():
            stack.append((node.dep(1), factor * float(node.dep(0))))
        elif op == ca.OP_MUL and node.dep(1).is_constant():
            stack.append((node.dep(0), factor * float(node.dep(1))))
        elif op == ca.OP_DIV and node.dep(1).is_constant():
            stack.append((node.dep(0), factor / float(node.dep(1))))
        else:
            yield node, factor
