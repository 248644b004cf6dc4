"""One problem of benchmarks/hypergradient.py by another tool, in an environment that has it.

    python hypergradient_peers.py TOOL PROBLEM LIMIT EVALUATIONS

prints a line ``TRACE {"trace": [[seconds of processor time, x], ...]}``, a pair for each evaluation of F with its
gradient. ``jaxopt`` and ``diffcp`` are as they come (tolerance 1e-3 and 500 steps; SCS to 1e-5), but JAXopt in double
precision and from the last answer; with ``-exact`` the tolerance is 1e-9 with 10,000 steps (JAXopt) and 100,000 (SCS;
its other solvers CVXPY could not hand on). L-BFGS-B of SciPy descends for all.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"

import numpy as np
from hypergradient_problems import PROBLEMS, Quadratics, Regression
from scipy.optimize import minimize


class Ended(Exception):
    """Time or evaluations are used up."""


def by_jaxopt(problem: Any, exact: bool) -> Any:
    """F and its gradient by implicit differentiation of a solver of JAXopt."""
    import jax
    import jax.numpy as jnp
    import jaxopt

    jax.config.update("jax_enable_x64", True)
    settings = {"tol": 1e-9, "maxiter": 10_000} if exact else {}
    if isinstance(problem, Quadratics):

        def below(y: Any, x: Any) -> Any:
            z = jnp.concatenate([x, y])
            return z @ problem.below[0] @ z / 2 + problem.below[1] @ z

        def above(y: Any, x: Any) -> Any:
            z = jnp.concatenate([x, y])
            return z @ problem.above[0] @ z / 2 + problem.above[1] @ z

        size = problem.n
    else:

        def losses(w: Any, X: Any, y: Any) -> Any:
            return (X @ w - y) ** 2 / 2 if problem.loss == "squares" else jnp.logaddexp(0.0, -y * (X @ w))

        def below(w: Any, x: Any) -> Any:
            _, square, weights = problem.parts(x)
            rows = losses(w, problem.X, problem.y)
            total = rows @ weights if problem.weighted else rows.sum()
            shrink = problem.fixed_square + (jnp.exp(square) if problem.square else 0.0)
            return total / len(problem.y) + (shrink * w**2).sum() / 2

        def above(w: Any, x: Any) -> Any:
            return losses(w, problem.X_held, problem.y_held).mean()

        size = problem.X.shape[1]
    if isinstance(problem, Regression) and problem.absolute:
        solver = jaxopt.ProximalGradient(below, jaxopt.prox.prox_lasso, **settings)

        def answer(start: Any, x: Any) -> Any:
            penalties = jnp.exp(problem.parts(x)[0])
            return solver.run(start, penalties if problem.absolute > 1 else penalties[0], x).params
    else:
        smooth = jaxopt.LBFGS(below, **settings)

        def answer(start: Any, x: Any) -> Any:
            return smooth.run(start, x).params

    def held_out(x: Any, start: Any) -> Any:
        y = answer(start, x)
        return above(y, x), y

    compiled, last = jax.jit(jax.value_and_grad(held_out, has_aux=True)), [np.zeros(size)]

    def evaluate(x: Any) -> tuple[float, Any]:
        (value, y), slope = compiled(x, last[0])
        last[0] = np.asarray(y)
        return float(value), np.asarray(slope)

    return evaluate


def by_diffcp(problem: Any, exact: bool) -> Any:
    """F and its gradient by CVXPY's derivative, which is diffcp's, as CvxpyLayer's."""
    import cvxpy as cp

    settings = {"eps_abs": 1e-9, "eps_rel": 1e-9, "max_iters": 100_000} if exact else {}
    if isinstance(problem, Quadratics):
        n, (H, d), (G, e) = problem.n, problem.below, problem.above
        y, slope = cp.Variable(n), cp.Parameter(n)
        program = cp.Problem(cp.Minimize(cp.sum_squares(np.linalg.cholesky(H[n:, n:]).T @ y) / 2 + slope @ y))

        def evaluate(x: Any) -> tuple[float, Any]:
            slope.value = H[n:, :n] @ x + d[n:]
            program.solve(solver=cp.DIFFCP, requires_grad=True, **settings)
            z = np.concatenate([x, y.value])
            gradient = G @ z + e
            y.gradient = gradient[n:]
            program.backward()
            return float(z @ G @ z / 2 + e @ z), gradient[:n] + H[:n, n:] @ slope.gradient

        return evaluate
    p, n = problem.X.shape[1], len(problem.y)
    w, margin = cp.Variable(p), problem.X
    absolute, square = (
        cp.Parameter(max(1, problem.absolute), nonneg=True),
        cp.Parameter(max(1, problem.square), nonneg=True),
    )
    weights = cp.Parameter(n, nonneg=True)
    if problem.loss == "squares":
        cost = cp.sum_squares(margin @ w - problem.y) / (2 * n)
    else:
        rows = cp.logistic(cp.multiply(-problem.y, margin @ w))
        cost = (weights @ rows if problem.weighted else cp.sum(rows)) / n
    if problem.absolute:
        cost += absolute @ cp.abs(w) if problem.absolute > 1 else absolute[0] * cp.norm1(w)
    if problem.square:
        cost += (square @ cp.square(w) if problem.square > 1 else square[0] * cp.sum_squares(w)) / 2
    cost += problem.fixed_square / 2 * cp.sum_squares(w)
    program = cp.Problem(cp.Minimize(cost))

    def evaluate(x: Any) -> tuple[float, Any]:
        ours = problem.parts(x)
        absolute.value = np.exp(ours[0]) if problem.absolute else np.zeros(1)
        square.value = np.exp(ours[1]) if problem.square else np.zeros(1)
        weights.value = np.maximum(ours[2], 0.0) if problem.weighted else np.ones(n)
        program.solve(solver=cp.DIFFCP, requires_grad=True, **settings)
        z = problem.X_held @ w.value
        if problem.loss == "squares":
            value, slope = ((z - problem.y_held) ** 2).mean() / 2, z - problem.y_held
        else:
            value, slope = (
                np.logaddexp(0, -problem.y_held * z).mean(),
                -problem.y_held / (1 + np.exp(problem.y_held * z)),
            )
        w.gradient = problem.X_held.T @ slope / len(z)
        program.backward()
        pieces = []
        if problem.absolute:
            pieces.append(absolute.gradient * absolute.value)
        if problem.square:
            pieces.append(square.gradient * square.value)
        if problem.weighted:
            pieces.append(weights.gradient)
        return float(value), np.concatenate([np.atleast_1d(piece) for piece in pieces])

    return evaluate


def main(tool: str, name: str, limit: float, evaluations: int) -> None:
    """Descends from the middle of the bounds and prints where it was, when."""
    problem = PROBLEMS[name]()
    if tool.startswith("jaxopt"):
        import jax
        import jaxopt  # noqa: F401 - imports are not timed

        jax.jit(lambda z: z + 1)(0.0)
    else:
        import cvxpy  # noqa: F401
        import diffcp  # noqa: F401
    trace: list[tuple[float, list[float]]] = []
    began = time.process_time()
    evaluate = (by_jaxopt if tool.startswith("jaxopt") else by_diffcp)(problem, tool.endswith("exact"))

    def counted(x: Any) -> tuple[float, Any]:
        value, slope = evaluate(x)
        trace.append((time.process_time() - began, [float(v) for v in x]))
        if len(trace) >= evaluations or time.process_time() - began > limit:
            raise Ended
        return value, np.asarray(slope, dtype=float)

    said, bounds = "", problem.bounds
    try:
        middle = np.array([(low + high) / 2 for low, high in bounds])
        options = {"maxfun": evaluations, "maxiter": evaluations, "ftol": 1e-14, "gtol": 1e-10}
        minimize(counted, middle, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    except Ended:
        pass
    except Exception as error:  # what a tool cannot do is part of its answer
        said = f"{type(error).__name__}: {str(error)[:120]}"
    print("TRACE", json.dumps({"trace": trace, "said": said}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4]))
