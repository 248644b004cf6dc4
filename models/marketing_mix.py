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

Written by ``bilevel.blocks.marketing_mix``, whose named Expressions share their parts: T weeks cost T operations where
each is evaluated once, as ``bilevel`` does. Pyomo's own ``value(model.obj)`` walks every use again, for more than ten
minutes; read ``result.upper_objective``, or any of them by ``result.value(model.roas)``.

``data`` names another table: ``pymc_example`` and ``pymc_roas`` (whose true effects stand in the file; carry-over and
saturation of the kinds that made them) and ``meridian`` (impressions, their cost in columns of their own).

Source: Robyn's simulated weekly data and its formulas and ranges (Meta,
    https://github.com/facebookexperimental/Robyn; data/README.md); ridge after Hoerl and Kennard (1970); one split
    of the weeks fixed in advance instead of searched.
Best known: NRMSE 0.0512601928025 (the point in KNOWN). The best of 2,000 random starts of L-BFGS-B on the exact
    hypergradient, which many of them reach, evaluated again by independent numpy code to 1e-15; no proof. Ten of
    the 16 variables lie at a bound, the penalty at its least: a single validation block overfits.
"""

import csv
from datetime import date, timedelta
from pathlib import Path

import numpy as np

from bilevel import blocks

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

DATA = Path(__file__).parent / "data"
DECAY = {
    "tv_S": (0.3, 0.8),
    "ooh_S": (0.1, 0.4),
    "print_S": (0.1, 0.4),
    "facebook_S": (0.0, 0.3),
    "search_S": (0.0, 0.3),
}
WIDE = {"theta": (0.0, 0.95), "alpha": (0.3, 5.0), "gamma": (0.05, 1.5)}
CHANNELS = [f"Channel{k}_impression" for k in range(4)]
TABLES = {
    "robyn": {
        "file": "robyn_dt_simulated_weekly.csv",
        "outcome": "revenue",
        "media": list(DECAY),
        "controls": ["competitor_sales_B", "newsletter"],
        "dates": "DATE",
        "reference": "peak",
        "ranges": {"theta": DECAY},
        "penalty": (1e-4, 10.0),
        "split": (145, 31),
    },
    "pymc_example": {
        "file": "pymc_mmm_example.csv",
        "outcome": "y",
        "media": ["x1", "x2"],
        "controls": ["event_1", "event_2"],
        "dates": "date_week",
        "length": 8,
        "normalised": True,
        "saturation": "logistic",
    },
    "pymc_roas": {
        "file": "pymc_mmm_roas_data.csv",
        "outcome": "y",
        "media": ["x1", "x2"],
        "dates": "date",
        "length": 4,
        "normalised": True,
        "saturation": "tanh",
    },
    "meridian": {
        "file": "meridian_national_media.csv",
        "outcome": "revenue",
        "media": CHANNELS,
        "spend": {name: name.replace("impression", "spend") for name in CHANNELS},
        "controls": ["competitor_activity_score_control", "sentiment_score_control"],
        "dates": "time",
    },
}


def create_model(data="robyn", ranges=None, split=None, folds=1, channels=None, days=1000, seed=0, **settings):
    """The table ``data``, split into ``split`` (training and validation weeks, or shares) at each of ``folds`` origins.

    ``ranges="wide"`` takes WIDE in place of Robyn's; ``train``, ``validation``, ``lowest_penalty`` and
    ``highest_penalty`` set one number each; all else goes to ``bilevel.blocks.marketing_mix``. With ``channels``,
    simulated data of that many channels over ``days`` rows instead, drawn with ``seed``.
    """
    choices = dict(TABLES[data])
    table = read(DATA / choices.pop("file"))
    if channels is not None:
        table, decay = simulated(channels, days, seed)
        choices |= {"media": list(decay), "ranges": {"theta": decay}}
    if ranges is not None:
        choices["ranges"] = WIDE if ranges == "wide" else ranges
    choices["split"] = split or choices.get("split", (0.7, 0.15))
    choices["split"] = settings.pop("train", choices["split"][0]), settings.pop("validation", choices["split"][1])
    low, high = choices.get("penalty") or (None, None)
    low, high = settings.pop("lowest_penalty", low), settings.pop("highest_penalty", high)
    choices["penalty"] = None if low is None or high is None else (low, high)
    model = blocks.marketing_mix(table, folds=folds, **(choices | settings))
    if data == "robyn" and ranges is None:
        for alpha in model.alpha.values():
            alpha.value = 1.5
        model.penalty.value = 0.1
    return model


def read(path):
    """The columns of the table by name; what is no number stays text."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    table = {name: [number(row[name]) for row in rows] for name in rows[0]}
    if "revenue_per_conversion" in table:
        both = zip(table["conversions"], table["revenue_per_conversion"], strict=True)
        table["revenue"] = [count * each for count, each in both]
    return table


def number(text):
    """A float where it is one."""
    try:
        return float(text)
    except ValueError:
        return text


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
        kept = blocks.geometric_adstock(spend, 0.45)
        revenue += rng.uniform(0.0, 2.0) * kept / (kept + kept.mean())
    table["revenue"], table["DATE"] = revenue, [date(2021, 1, 1) + timedelta(days=t) for t in range(days)]
    return table, decay
