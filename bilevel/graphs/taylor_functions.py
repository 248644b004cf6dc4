"""Derivatives and ranges of the functions that :mod:`bilevel.graphs.taylor` composes with.

Each rule takes the centre c and the ends of the range of an argument, and gives f, f' and f'' at c, the largest
``|f'''|`` on the range, and the ends of f there. Where the range leaves the function's domain the derivatives are no
numbers, and the ends are those over the domain alone.
"""

from __future__ import annotations

import math

import casadi as ca
import numpy as np
import scipy

from bilevel.arrays import Array
from bilevel.graphs.taylor import Derivatives, Rule


def _exponential(c: Array, low: Array, high: Array) -> Derivatives:
    value, top = np.exp(c), np.exp(high)
    return value, value, value, top, np.exp(low), top


def _exponential_less_one(c: Array, low: Array, high: Array) -> Derivatives:
    value = np.exp(c)
    return np.expm1(c), value, value, np.exp(high), np.expm1(low), np.expm1(high)


def _logarithm(c: Array, low: Array, high: Array) -> Derivatives:
    inside = np.where(low > 0.0, low, np.nan)
    ends = np.log(np.maximum(low, 0.0)), np.log(np.maximum(high, 0.0))
    return np.log(c), 1.0 / c, -1.0 / c**2, 2.0 / inside**3, *ends


def _logarithm_of_one_more(c: Array, low: Array, high: Array) -> Derivatives:
    _, slope, bend, third, _, _ = _logarithm(1.0 + c, 1.0 + low, 1.0 + high)
    ends = np.log1p(np.maximum(low, -1.0)), np.log1p(np.maximum(high, -1.0))
    return np.log1p(c), slope, bend, third, *ends


def _inverse(c: Array, low: Array, high: Array) -> Derivatives:
    nearest = np.where((low > 0.0) | (high < 0.0), np.minimum(np.abs(low), np.abs(high)), np.nan)
    sure = np.isfinite(nearest)
    ends = np.where(sure, 1.0 / high, -np.inf), np.where(sure, 1.0 / low, np.inf)
    return 1.0 / c, -1.0 / c**2, 2.0 / c**3, 6.0 / nearest**4, *ends


def power(exponent: float) -> Rule:
    """The rule of ``a ** exponent`` with a constant exponent."""
    p, third = exponent, abs(exponent * (exponent - 1.0) * (exponent - 2.0))
    if p.is_integer() and p >= 0:
        return lambda c, low, high: (
            c**p,
            p * c ** (p - 1.0) if p else np.zeros_like(c),
            p * (p - 1.0) * c ** (p - 2.0) if p > 1 else np.zeros_like(c),
            third * np.maximum(np.abs(low), np.abs(high)) ** (p - 3.0) if third else np.zeros_like(c),
            *_power_ends(low, high, p),
        )
    if p.is_integer():
        return lambda c, low, high: _negative_power(c, low, high, p)

    def rule(c: Array, low: Array, high: Array) -> Derivatives:
        end = high if p > 3.0 else low
        ends = np.maximum(low, 0.0) ** p, np.maximum(high, 0.0) ** p
        slope, bend = p * c ** (p - 1.0), p * (p - 1.0) * c ** (p - 2.0)
        worst = third * np.where(low > 0.0, end, np.nan) ** (p - 3.0)
        return c**p, slope, bend, worst, np.minimum(*ends), np.maximum(*ends)

    return rule


def _power_ends(low: Array, high: Array, p: float) -> tuple[Array, Array]:
    ends = low**p, high**p
    if p % 2:
        return ends
    return np.where((low < 0.0) & (high > 0.0), 0.0 if p else 1.0, np.minimum(*ends)), np.maximum(*ends)


def _negative_power(c: Array, low: Array, high: Array, p: float) -> Derivatives:
    nearest = np.where((low > 0.0) | (high < 0.0), np.minimum(np.abs(low), np.abs(high)), np.nan)
    sure, ends = np.isfinite(nearest), (low**p, high**p)
    third = abs(p * (p - 1.0) * (p - 2.0)) * nearest ** (p - 3.0)
    bottom, top = np.where(sure, np.minimum(*ends), -np.inf), np.where(sure, np.maximum(*ends), np.inf)
    return c**p, p * c ** (p - 1.0), p * (p - 1.0) * c ** (p - 2.0), third, bottom, top


def _sine(c: Array, low: Array, high: Array) -> Derivatives:
    one = np.ones_like(c)
    return np.sin(c), np.cos(c), -np.sin(c), one, -one, one


def _cosine(c: Array, low: Array, high: Array) -> Derivatives:
    one = np.ones_like(c)
    return np.cos(c), -np.sin(c), -np.cos(c), one, -one, one


def _tanh(c: Array, low: Array, high: Array) -> Derivatives:
    value = np.tanh(c)
    slope = 1.0 - value**2
    return value, slope, -2.0 * value * slope, np.full_like(c, 2.0), np.tanh(low), np.tanh(high)


def _sinh(c: Array, low: Array, high: Array) -> Derivatives:
    top = np.cosh(np.maximum(np.abs(low), np.abs(high)))
    return np.sinh(c), np.cosh(c), np.sinh(c), top, np.sinh(low), np.sinh(high)


def _cosh(c: Array, low: Array, high: Array) -> Derivatives:
    far = np.maximum(np.abs(low), np.abs(high))
    near = np.where((low < 0.0) & (high > 0.0), 0.0, np.minimum(np.abs(low), np.abs(high)))
    return np.cosh(c), np.sinh(c), np.cosh(c), np.sinh(far), np.cosh(near), np.cosh(far)


def _arctangent(c: Array, low: Array, high: Array) -> Derivatives:
    slope = 1.0 / (1.0 + c**2)
    return np.arctan(c), slope, -2.0 * c * slope**2, np.full_like(c, 2.0), np.arctan(low), np.arctan(high)


def _area_sine(c: Array, low: Array, high: Array) -> Derivatives:
    slope = 1.0 / np.sqrt(1.0 + c**2)
    return np.arcsinh(c), slope, -c * slope**3, np.ones_like(c), np.arcsinh(low), np.arcsinh(high)


def _error_function(c: Array, low: Array, high: Array) -> Derivatives:
    slope = 2.0 / math.sqrt(math.pi) * np.exp(-(c**2))
    third = np.full_like(c, 4.0 / math.sqrt(math.pi))  # of (4 x^2 - 2) exp(-x^2), whose size is 2 at most
    value, *ends = scipy.special.erf([c, low, high])
    return value, slope, -2.0 * c * slope, third, *ends


RULES: dict[int, Rule] = {
    ca.OP_EXP: _exponential,
    ca.OP_EXPM1: _exponential_less_one,
    ca.OP_LOG: _logarithm,
    ca.OP_LOG1P: _logarithm_of_one_more,
    ca.OP_SQRT: power(0.5),
    ca.OP_INV: _inverse,
    ca.OP_SIN: _sine,
    ca.OP_COS: _cosine,
    ca.OP_TANH: _tanh,
    ca.OP_SINH: _sinh,
    ca.OP_COSH: _cosh,
    ca.OP_ATAN: _arctangent,
    ca.OP_ASINH: _area_sine,
    ca.OP_ERF: _error_function,
}
"""By CasADi's code of the operation."""
