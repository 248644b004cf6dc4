"""A year's advertising budget: the leader sets the total, the follower splits it for the largest response.

    max_B  margin R(s) - B                                               low <= B <= high
    s.t.   s in argmax { R(s) : sum_c s_c <= B, low_c <= s_c <= high_c },   R(s) = sum_c sum_t effect_c S(A_ct(s_c))

    A_ct      carried over into the year, plus what s_c spends in the weeks in which the channel was on air a year ago
    S         A^alpha / (A^alpha + K^alpha): S-shaped where alpha > 1, so that R is neither concave nor convex

The curves are those of the fit that ``marketing_mix`` holds for best known, in currency, rounded; the weeks are the
last 52 of the same table. With ``fits=3`` there are two others beside it, whose effects and half points differ by
some per cent, and the least response of the three counts: the plan that is best in the worst case.

Source: Robyn's simulated weekly data (Meta, https://github.com/facebookexperimental/Robyn; data/README.md); the problem
    is that of its allocator, solved to a proof.
Best known: profit 7588164.6203 at margin 0.3, certified; SLSQP from 200 random starts on an independent evaluation in
    numpy ends there to thirteen digits, and never above.
"""

import csv
from pathlib import Path

import numpy as np

from bilevel import blocks

KNOWN = {
    "upper_objective": 7588164.620296,
    "upper": {"total": 2681535.776},
    "tolerance": 1e-5,
    "methods": ["joint"],
}

DATA = Path(__file__).parent / "data" / "robyn_dt_simulated_weekly.csv"
CURVES = {
    "tv_S": blocks.ResponseCurve(effect=1.01623e6, half=47557.0, exponent=0.5, decay=0.3),
    "ooh_S": blocks.ResponseCurve(effect=124155.0, half=151023.0, exponent=0.506, decay=0.351),
    "print_S": blocks.ResponseCurve(effect=309255.0, half=10194.5, exponent=0.5, decay=0.335),
    "facebook_S": blocks.ResponseCurve(effect=237657.0, half=6039.4, exponent=3.0, decay=0.294),
    "search_S": blocks.ResponseCurve(effect=43986.0, half=9236.0, exponent=3.0, decay=0.3),
}


def create_model(margin=0.3, least=0.5, most=1.5, weeks=52, periods=1, fits=1, seed=0):
    """``margin`` of a unit of revenue; a total of ``least`` to ``most`` times what the last ``weeks`` spent.

    With several ``fits``, drawn with ``seed``, the least of their responses counts.
    """
    with DATA.open(newline="") as file:
        rows = list(csv.DictReader(file))
    history = {channel: np.array([float(row[channel]) for row in rows]) for channel in CURVES}
    spent = sum(spend[-weeks:].sum() for spend in history.values())
    curves = [CURVES, *others(fits - 1, seed)]
    return blocks.allocation(
        curves,
        history,
        total=(least * spent, most * spent),
        weeks=weeks,
        periods=periods,
        bounds=(0.25, 3.0),
        margin=margin,
    )


def others(count, seed):
    """Fits near the best one, drawn with ``seed``."""
    rng = np.random.default_rng(seed)
    return [
        {
            channel: blocks.ResponseCurve(
                c.effect * rng.uniform(0.9, 1.1), c.half * rng.uniform(0.8, 1.25), c.exponent, c.decay
            )
            for channel, c in CURVES.items()
        }
        for _ in range(count)
    ]
