"""One upper variable over ridge-like followers: F is a rational function of x, minimised with proof.

With ``H(x) = H0 + x H1`` definite on ``[l, u]`` one basis diagonalizes all of them (Golub and Van Loan, *Matrix
Computations*, 8.7.1): ``V'H(s)V = I`` and ``V'H1V = diag(mu)``. In that basis every coordinate of the follower's
answer is a Moebius function of x,

    z_i(x) = -(alpha_i + t beta_i) / (1 + t mu_i),   t = x - s,

monotone together with its derivatives, hence enclosed on an interval by its end points. F is quadratic in z, so F, F'
and an enclosure of F'' on ``[a, b]`` cost one product with an n x n matrix, and
``F(m) + F'(m)(x - m) + min F'' (x - m)^2 / 2`` is a lower bound whose error falls with the cube of the width. Branch
and bound over x does the rest (Hansen and Walster 2004, chapter 12).

The arithmetic is floating point, not outwardly rounded: the bound that is reported is lowered by a millionth of the
certificate tolerance times the size of the terms that were added up, far more than n^2 roundings can amount to.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import casadi as ca
import numpy as np
from scipy.linalg import block_diag, eigh

from bilevel import tolerances
from bilevel.arrays import Array
from bilevel.contracts.finding import Finding, Termination, Verdict
from bilevel.contracts.observer import Observer
from bilevel.contracts.path import Path
from bilevel.contracts.settings import Settings
from bilevel.errors import RefusedError
from bilevel.linear_algebra.definiteness import is_definite
from bilevel.programs.compilation import Compilation
from bilevel.programs.numeric_form import dense_form
from bilevel.programs.program import Program, Shape
from bilevel.programs.quadratic_form import QuadraticForm
from bilevel.reading.problem import Problem
from bilevel.registry import register
from bilevel.upper.archive import Archive

_FIRST_PIECES = 16
_LARGEST = 2000  # variables of a follower
_ROUNDS = 200

_Scale = Callable[[float], float]


@register("rational")
class Rational(Path):
    """One upper variable, unconstrained quadratic followers: F as a rational function, by interval branch and bound.

    Take it when one upper variable, such as a penalty, moves followers without constraints; where these have bounds or
    rows, ``upper_boxes`` is next.
    """

    preference = 0.9

    def run(self, problem: Problem, settings: Settings, observer: Observer) -> Finding:
        compilation = Compilation.of(problem)
        refusal = refusal_of(compilation)
        if refusal is not None:
            raise RefusedError(f"F is not a rational function of one variable here: {refusal}")
        (variable,) = problem.variables
        low, high = (float(b) for b in variable.bounds)
        observer.said(f"F is a rational function of {variable.name}: one basis diagonalizes every follower's Hessian")
        reduced = _reduce(compilation, low, high)
        limit = settings.time_limit or math.inf
        x, value, bound, done = _minimise(reduced, low, high, limit, observer, problem.sense, compilation.scale)
        termination = Termination.OPTIMALITY if done else Termination.TIME_LIMIT
        return Finding(
            termination,
            Verdict.CERTIFIED_GLOBAL if compilation.closes(value, bound) else Verdict.BEST_FOUND,
            upper={variable.name: x},
            bound=problem.sense * bound,
            archive=Archive(),
            convexity="proved",
            notes=[f"F as a rational function of {variable.name}, minimised by interval branch and bound"],
        )


def refusal_of(compilation: Compilation) -> str | None:
    """Why a problem is not of this kind, or None."""
    problem = compilation.problem
    if len(problem.variables) != 1 or problem.constraints or problem.allowed:
        return "it takes one upper variable and no upper constraint"
    variable = problem.variables[0]
    low, high = variable.bounds
    if low is None or high is None or not low < high or not variable.is_continuous():
        return f"{variable.name} must be continuous with two bounds"
    for follower in problem.followers:
        if follower.name not in compilation.programs:
            return f"{follower.name} is not a mathematical program"
        reason = _not_ridge_like(compilation.programs[follower.name], compilation.x, float(low), float(high))
        if reason is not None:
            return f"{follower.name} {reason}"
    upper = compilation.upper_program
    constant = ca.substitute(upper.rest.objective, upper.variables, ca.SX.zeros(upper.n, 1))
    if upper.shape is Shape.NONLINEAR or not _affine(ca.vertcat(_data(upper), constant), compilation.x):
        return "F must be quadratic in the followers' variables, with coefficients affine in the upper variable"
    return None


def _not_ridge_like(program: Program, x: ca.SX, low: float, high: float) -> str | None:
    if program.shape is not Shape.QUADRATIC or program.m or program.bounded_variables.any() or program.discrete:
        return "must be an unconstrained quadratic program"
    if program.n > _LARGEST:
        return f"has more than {_LARGEST} variables, too many for a dense diagonalization"
    if program.moving or not _affine(_data(program), x):
        return "must have a Hessian and a gradient affine in the upper variable"
    for end in (low, high):  # affine in x: definite at both ends is definite between them
        if not is_definite(dense_form(program).at(np.array([end])).hessian):
            return f"has a singular or indefinite Hessian at {end:g}"
    return None


def _data(program: Program) -> ca.SX:
    """What a quadratic program is made of, as functions of x: weights of squares, Hessian, slope at zero."""
    y, rest = program.variables, program.rest
    pieces = [ca.vertcat(ca.SX(0, 1), *rest.hessian.nonzeros()), rest.gradient]
    at_zero = ca.substitute(pieces, [y], [ca.SX.zeros(y.numel(), 1)])
    return ca.vertcat(program.weights if program.squares else ca.SX(0, 1), *map(ca.vec, at_zero))


def _affine(expression: ca.SX, x: ca.SX) -> bool:
    return not ca.depends_on(ca.jacobian(expression, x), x)


@dataclass(frozen=True)
class _Reduced:
    """F in the diagonalizing basis: ``0.5 z'Q z + q'z + r``; Q, q, r affine in ``t = x - shift``, z as above."""

    shift: float
    alpha: Array
    beta: Array
    mu: Array
    q2: tuple[Array, Array]
    q1: tuple[Array, Array]
    q0: tuple[float, float]

    def z(self, x: Array) -> tuple[Array, Array, Array]:
        """z, z' and z'' at points of shape (k,), each of shape (k, n)."""
        t = (x - self.shift)[:, None]
        d = 1.0 + t * self.mu
        slope = -(self.beta - self.alpha * self.mu) / d**2
        return -(self.alpha + t * self.beta) / d, slope, -2.0 * self.mu * slope / d

    def value(self, x: Array) -> tuple[Array, Array, Array]:
        """F, F' and F'' at points of shape (k,)."""
        (a, b), (p, q), (r, s) = self.q2, self.q1, self.q0
        t = x - self.shift
        z, z1, z2 = self.z(x)
        za, zb = z @ a, z @ b
        partial = za + t[:, None] * zb + p + t[:, None] * q  # dF/dz
        tilt = zb + q  # d2F/dx dz
        f = 0.5 * _dot(za, z) + 0.5 * t * _dot(zb, z) + z @ p + t * (z @ q) + r + t * s
        f1 = 0.5 * _dot(zb, z) + z @ q + s + _dot(partial, z1)
        f2 = 2.0 * _dot(tilt, z1) + _dot(z1 @ a, z1) + t * _dot(z1 @ b, z1) + _dot(partial, z2)
        return f, f1, f2


def _dot(a: Array, b: Array) -> Array:
    product: Array = np.einsum("kn,kn->k", a, b)
    return product


def _numbers(form: QuadraticForm) -> list[Array]:
    """Hessian, gradient and constant, copied: the form's own move with x."""
    return [np.array(form.hessian), np.array(form.gradient).reshape(-1, 1), np.array(form.constant).reshape(1, 1)]


def _reduce(compilation: Compilation, low: float, high: float) -> _Reduced:
    """Diagonalize every follower at the end where its Hessian is larger, and rewrite F in that basis."""
    bases, alphas, betas, mus = [], [], [], []
    for program in compilation.programs.values():
        form = dense_form(program)
        h0, c0 = (np.array(v) for v in (form.at(np.array([low])).hessian, form.gradient))
        h1, c1 = (np.array(v) for v in (form.at(np.array([high])).hessian, form.gradient))
        slope, tilt = (h1 - h0) / (high - low), (c1 - c0) / (high - low)
        mu, basis = eigh(slope, h1)
        bases.append(basis)
        alphas.append(basis.T @ c1)
        betas.append(basis.T @ tilt)
        mus.append(mu)
    form = dense_form(compilation.upper_program)
    at_low, at_high = (_numbers(form.at(np.array([end]))) for end in (low, high))
    slopes = [(h - v) / (high - low) for h, v in zip(at_high, at_low, strict=True)]
    basis = block_diag(*bases)
    return _Reduced(
        shift=high,
        alpha=np.concatenate(alphas),
        beta=np.concatenate(betas),
        mu=np.concatenate(mus),
        q2=(basis.T @ at_high[0] @ basis, basis.T @ slopes[0] @ basis),
        q1=(basis.T @ at_high[1][:, 0], basis.T @ slopes[1][:, 0]),
        q0=(float(at_high[2][0, 0]), float(slopes[2][0, 0])),
    )


def _lower_bounds(reduced: _Reduced, a: Array, b: Array, m: Array) -> Array:
    """A lower bound of F on each interval ``[a, b]``, expanded about m; arrays of shape (k,)."""
    (q, dq), (_, dp) = reduced.q2, reduced.q1
    centre, left, right = reduced.z(m), reduced.z(a), reduced.z(b)
    z, z1, z2 = centre
    r, r1, r2 = (np.maximum(abs(e - c), abs(w - c)) for c, e, w in zip(centre, left, right, strict=True))
    width = np.maximum(m - a, b - m)
    t = (m - reduced.shift)[:, None]
    size, size_d = np.abs(q), np.abs(dq)
    moving = bool(dq.any())
    weight = size if not moving else size + size_d * float(np.abs(t).max() + width.max())
    partial = np.abs(z @ q + t * (z @ dq) + reduced.q1[0] + t * dp)
    partial_r = r @ weight + width[:, None] * np.abs(z @ dq + dp)
    z1_abs, z2_abs = np.abs(z1), np.abs(z2)
    spread = 2.0 * _dot((z1_abs @ weight), r1) + _dot(r1 @ weight, r1)
    spread += _dot(partial, r2) + _dot(partial_r, z2_abs + r2)
    if moving or dp.any():
        tilt = np.abs(z @ dq + dp)
        spread += 2.0 * (_dot(tilt, r1) + _dot(r @ size_d, z1_abs + r1))
        spread += width * _dot(z1_abs @ size_d, z1_abs)
    f, f1, f2 = reduced.value(m)
    curve = f2 - spread
    ends = np.minimum(_parabola(f, f1, curve, a - m), _parabola(f, f1, curve, b - m))
    stationary = np.clip(np.divide(-f1, curve, out=np.zeros_like(f), where=curve > 0), a - m, b - m)
    bound: Array = np.where(curve > 0, _parabola(f, f1, curve, stationary), ends)
    return bound


def _parabola(f: Array, f1: Array, f2: Array, step: Array) -> Array:
    return f + step * (f1 + 0.5 * f2 * step)


def _split(a: Array, b: Array) -> Array:
    """Where to cut: the geometric mean where an interval spans decades, else the middle."""
    wide = (a > 0) & (b > 10.0 * a)
    return np.where(wide, np.sqrt(np.maximum(a, 0.0) * b), 0.5 * (a + b))


def _first_pieces(low: float, high: float) -> tuple[Array, Array]:
    if low <= 0:
        edges = np.concatenate([[low], np.linspace(max(low, 0.0), high, _FIRST_PIECES + 1)[1:]])
    else:
        edges = np.geomspace(low, high, _FIRST_PIECES + 1)
    edges[0], edges[-1] = low, high
    return edges[:-1], edges[1:]


def _minimise(
    reduced: _Reduced, low: float, high: float, time_limit: float, observer: Observer, sense: int, scale: _Scale
) -> tuple[float, float, float, bool]:
    """Best x, F there, a lower bound of F, and whether it closed."""
    deadline = time.monotonic() + time_limit
    ends = np.array([low, high])
    values = reduced.value(ends)[0]
    best, value = float(ends[values.argmin()]), float(values.min())
    a, b = _first_pieces(low, high)
    discarded = math.inf
    goal = 0.1 * tolerances.CERTIFICATE
    for _ in range(_ROUNDS):
        m = _split(a, b)
        best, value = _improve(reduced, m, a, b, best, value)
        bounds = _lower_bounds(reduced, a, b, m)
        keep = bounds < value - goal * scale(value)
        discarded = min(discarded, float(bounds[~keep].min(initial=math.inf)))
        bound = min(discarded, float(bounds[keep].min(initial=math.inf)), value)
        observer.bounded(sense * value, sense * bound)
        if not keep.any() or time.monotonic() > deadline:
            break
        a, m, b = a[keep], m[keep], b[keep]
        a, b = np.concatenate([a, m]), np.concatenate([m, b])
    margin = 1e-6 * tolerances.CERTIFICATE * max(scale(0.0), abs(value), abs(reduced.q0[0]))
    return best, value, bound - margin, not keep.any()


def _improve(reduced: _Reduced, m: Array, a: Array, b: Array, best: float, value: float) -> tuple[float, float]:
    """Newton steps from the intervals' centres, kept inside; the best point seen."""
    x = m.copy()
    for _ in range(4):
        f, f1, f2 = reduced.value(x)
        k = int(f.argmin())
        if f[k] < value:
            best, value = float(x[k]), float(f[k])
        x = np.clip(x - np.divide(f1, f2, out=np.zeros_like(f), where=f2 > 0), a, b)
    return best, value
