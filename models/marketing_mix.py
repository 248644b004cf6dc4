"""Marketing mix: carry-over, saturation and ridge penalty tuned on validation weeks, effects fitted on training weeks.

    min_{theta, alpha, gamma, lambda}  RMSE of revenue on the validation weeks / (max - min of revenue there)
    s.t.  b in argmin { 1/(2n) ||y - Z b||^2 + lambda/2 ||b||^2 : b_c >= 0 for every media channel c }

    carry-over     A[c,t] = x[c,t] + theta[c] A[c,t-1],   A[c,0] = x[c,0]                     (geometric adstock)
    saturation     S[c,t] = A[c,t]^alpha[c] / (A[c,t]^alpha[c] + K[c]^alpha[c]),   K[c] = gamma[c] max_t A[c,t]
    Z              media S, competitor sales, newsletter, linear trend, three yearly Fourier pairs (14 columns),
                   standardised with mean and population standard deviation of the training weeks, as is revenue: y

16 upper variables, 14 lower ones. The maximum runs over all 208 weeks; of 208 weeks the first 145 train, the next
31 validate, and the last 32 are a test set that the model never reads but for that maximum. The Fourier pairs are
of the day of the year on which the week begins, over 365.25. Spend is divided by the channel's largest, which the
saturation does not feel.

Where A = 0, S = 0. Weeks before a channel's first spend have A = 0 for every theta and S is the number 0. Later
weeks without spend reach A = 0 only at theta = 0, which the ranges of facebook_S and search_S include: there
log(A + 1e-26) makes S less than 1e-12 (alpha >= 0.5, K >= 0.3), and elsewhere it changes nothing that can be seen.

The named Expressions share their parts: T weeks cost T operations where each is evaluated once, as ``bilevel``
does. Pyomo's own ``value(model.obj)`` walks every use again, for more than ten minutes; read
``result.upper_objective`` instead.

Source: Robyn's simulated weekly data and its formulas and ranges (Meta,
    https://github.com/facebookexperimental/Robyn; data/README.md); ridge after Hoerl and Kennard (1970); one split
    of the weeks fixed in advance instead of searched.
Best known: NRMSE 0.0512601928025 (the point in KNOWN). The best of 2,000 random starts of L-BFGS-B on the exact
    hypergradient, which many of them reach, evaluated again by independent numpy code to 1e-15; no proof. Ten of
    the 16 variables lie at a bound, the penalty at its least: a single validation block overfits.
"""

import csv
from datetime import date
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyomo.environ as pyo

from bilevel import LowerLevel, maximum, set_scale

KNOWN = {
    "upper_objective": 0.05126019280253386,
    "upper": {
        "theta[tv_S]": 0.3,
        "theta[ooh_S]": 0.351152588601,
        "theta[print_S]": 0.335339097619,
        "theta[facebook_S]": 0.293834830355,
        "theta[search_S]": 0.3,
        "alpha[tv_S]": 0.5,
        "alpha[ooh_S]": 0.506388979731,
        "alpha[print_S]": 0.5,
        "alpha[facebook_S]": 3.0,
        "alpha[search_S]": 3.0,
        "gamma[tv_S]": 0.3,
        "gamma[ooh_S]": 0.3,
        "gamma[print_S]": 0.3,
        "gamma[facebook_S]": 0.385971407634,
        "gamma[search_S]": 0.380207026064,
        "penalty": 1e-4,
    },
    "tolerance": 1e-6,
    "methods": ["kkt", "grid", "random"],
}

DATA = Path(__file__).parent / "data" / "robyn_dt_simulated_weekly.csv"
DECAY = {
    "tv_S": (0.3, 0.8),
    "ooh_S": (0.1, 0.4),
    "print_S": (0.1, 0.4),
    "facebook_S": (0.0, 0.3),
    "search_S": (0.0, 0.3),
}
TINY = 1e-26
YEAR = 365.25


def create_model(
    train=145, validation=31, seasons=3, lowest_penalty=1e-4, highest_penalty=10.0, channels=None, days=1000, seed=0
):
    """``train`` weeks to fit on, the next ``validation`` weeks to judge by, ``seasons`` Fourier pairs.

    With ``channels``, simulated data of that many channels over ``days`` rows instead, drawn with ``seed``.
    """
    table, decay = (read(DATA), DECAY) if channels is None else simulated(channels, days, seed)
    fit, judge = range(train), range(train, train + validation)
    weeks = range(train + validation)

    model = pyo.ConcreteModel()
    model.media = pyo.Set(initialize=list(decay))
    model.theta = pyo.Var(model.media)
    model.alpha = pyo.Var(model.media, bounds=(0.5, 3.0), initialize=1.5)
    model.gamma = pyo.Var(model.media, bounds=(0.3, 1.0), initialize=0.65)
    model.penalty = pyo.Var(bounds=(lowest_penalty, highest_penalty), initialize=0.1)
    set_scale(model.penalty, "log")

    model.adstock = pyo.Expression(model.media, range(len(table["revenue"])))
    model.peak = pyo.Expression(model.media)
    model.log_half = pyo.Expression(model.media)
    model.saturation = pyo.Expression(model.media, weeks)
    model.mean = pyo.Expression(model.media)
    model.spread = pyo.Expression(model.media)
    model.column = pyo.Expression(model.media, weeks)
    for c, (low, high) in decay.items():
        model.theta[c].bounds = (low, high)
        model.theta[c].value = (low + high) / 2
        spend = (table[c] / table[c].max()).tolist()
        first = next(t for t, x in enumerate(spend) if x > 0)
        for t, x in enumerate(spend):
            model.adstock[c, t] = x + model.theta[c] * model.adstock[c, t - 1] if t > first else x
        model.peak[c] = maximum(model.adstock[c, t] for t in peak_weeks(spend, low, high))
        model.log_half[c] = pyo.log(model.gamma[c] * model.peak[c])
        for t in weeks:
            log_ratio = pyo.log(model.adstock[c, t] + TINY) - model.log_half[c]
            model.saturation[c, t] = 1 / (1 + pyo.exp(-model.alpha[c] * log_ratio)) if t >= first else 0.0
        model.mean[c] = sum(model.saturation[c, t] for t in fit) / train
        model.spread[c] = pyo.sqrt(sum((model.saturation[c, t] - model.mean[c]) ** 2 for t in fit) / train)
        for t in weeks:
            model.column[c, t] = (model.saturation[c, t] - model.mean[c]) / model.spread[c]

    controls = {name: standardised(values, train).tolist() for name, values in controls_of(table, seasons).items()}
    revenue = standardised(table["revenue"], train).tolist()
    model.controls = pyo.Set(initialize=list(controls))

    model.lower = LowerLevel()
    model.lower.b = pyo.Var(model.media | model.controls)
    b = model.lower.b
    for c in model.media:
        b[c].setlb(0.0)

    model.residual = pyo.Expression(weeks)
    for t in weeks:
        by_media = sum(b[c] * model.column[c, t] for c in model.media)
        model.residual[t] = by_media + sum(b[j] * controls[j][t] for j in model.controls) - revenue[t]
    model.lower.obj = pyo.Objective(
        expr=sum(model.residual[t] ** 2 for t in fit) / (2 * train) + model.penalty / 2 * sum(b[j] ** 2 for j in b)
    )
    observed = [revenue[t] for t in judge]
    rmse = pyo.sqrt(sum(model.residual[t] ** 2 for t in judge) / validation)
    model.obj = pyo.Objective(expr=rmse / (max(observed) - min(observed)))
    return model


def simulated(channels, days, seed):
    """A table as :func:`read` gives it, and the ranges of the carry-over: bursts of spend, revenue that follows."""
    rng = np.random.default_rng(seed)
    table = {"competitor_sales_B": rng.normal(size=days), "newsletter": rng.gamma(1.0, size=days)}
    revenue = rng.normal(size=days) + 0.5 * table["competitor_sales_B"]
    decay = {}
    for k in range(channels):
        spend = rng.gamma(2.0, size=days) * (rng.random(days) < 0.7)
        spend[0] = 1.0
        table[f"channel{k}"] = spend
        decay[f"channel{k}"] = (0.1, 0.8)
        kept = adstock(spend, 0.45)
        revenue += rng.uniform(0.0, 2.0) * kept / (kept + kept.mean())
    table["revenue"], table["day"] = revenue, 1 + np.arange(days) % 365
    return table, decay


def read(path):
    """The numeric columns of the table by name, and the day of the year on which each week begins."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    table = {name: np.array([float(row[name]) for row in rows]) for name in rows[0] if name not in ("DATE", "events")}
    table["day"] = np.array([date.fromisoformat(row["DATE"]).timetuple().tm_yday for row in rows])
    return table


def controls_of(table, seasons):
    """What moves revenue besides advertising."""
    columns = {name: table[name] for name in ("competitor_sales_B", "newsletter")}
    columns["trend"] = np.arange(len(table["revenue"]))
    for k in range(1, seasons + 1):
        columns[f"sin{k}"] = np.sin(2 * np.pi * k * table["day"] / YEAR)
        columns[f"cos{k}"] = np.cos(2 * np.pi * k * table["day"] / YEAR)
    return columns


def standardised(column, train):
    """In units of the training weeks' mean and population standard deviation."""
    return (column - column[:train].mean()) / column[:train].std()


def adstock(spend, theta):
    """Spend with what is carried over from the weeks before."""
    carried = np.array(spend, dtype=float)
    for t in range(1, len(carried)):
        carried[t] += theta * carried[t - 1]
    return carried


def peak_weeks(spend, low, high, pieces=100):
    """The weeks that attain the largest adstock for some theta in [low, high], and perhaps a few more.

    Adstock grows with theta. On a piece [p, q] of the range, a week whose adstock at q is below the largest one at p is
    never the peak: leaving it out of the maximum is exact.
    """
    curves = [adstock(spend, theta) for theta in np.linspace(low, high, pieces + 1)]
    return sorted({int(t) for at_p, at_q in pairwise(curves) for t in np.flatnonzero(at_q >= at_p.max())})
