"""The arguments of a marketing mix made a plan: names found, columns checked, weeks split, ranges looked up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from bilevel.arrays import Array
from bilevel.blocks.calendar_columns import holidays as holiday_columns
from bilevel.blocks.calendar_columns import seasons as season_columns
from bilevel.blocks.plan import ADSTOCKS, SATURATIONS, Channel, Plan
from bilevel.blocks.table import Table, names_of, per_channel
from bilevel.errors import ModelError

SIGNS = {"positive": (0.0, None), "negative": (None, 0.0), "free": (None, None)}
_FEWEST = 4  # weeks to fit on, and none that judge by fewer than two


def split_of(weeks: int, split: Any, folds: int) -> tuple[tuple[range, range], ...]:
    """Training and validation rows of each origin: the validation blocks follow one another, the last before the test.

    Raises
    ------
    ModelError
        If there are too few weeks for it.
    """
    try:
        train, judge = split
        first, each = (_weeks(part, weeks) for part in (train, judge))
    except (TypeError, ValueError):
        raise ModelError(
            f"marketing_mix(split={split!r}): give the training and validation weeks, as (145, 31), or their shares of"
            " the table, as (0.7, 0.15)"
        ) from None
    if not isinstance(folds, int) or folds < 1:
        raise ModelError(f"marketing_mix(folds={folds!r}): give a whole number from 1 up")
    begins = [first - (folds - 1 - k) * each for k in range(folds)]
    if each < 2 or begins[0] < _FEWEST or first + each > weeks:
        raise ModelError(
            f"marketing_mix(split={split!r}, folds={folds}): of {weeks} weeks {begins[0]} would train first and {each}"
            f" validate at each origin; at least {_FEWEST} and 2 are needed, {weeks} at most in all"
        )
    return tuple((range(begin), range(begin, begin + each)) for begin in begins)


def _weeks(part: Any, weeks: int) -> int:
    if isinstance(part, (int, np.integer)):
        return int(part)
    if 0.0 < part < 1.0:
        return int(np.floor(part * weeks + 1e-9))
    raise ValueError(part)


def plan_of(table: Table, columns: Mapping[str, Any], kinds: Mapping[str, Any], weeks: Mapping[str, Any]) -> Plan:
    """The plan, from the arguments of ``marketing_mix`` in three groups.

    Raises
    ------
    ModelError
        If a name, a kind or an entry is wrong, or there are fewer training weeks than columns.
    """
    media, controls = names_of(columns["media"], "media"), names_of(columns["controls"], "controls")
    if not media:
        raise ModelError("marketing_mix(media): name at least one channel")
    clash = [name for name in controls if name in media] + [n for n in (*media, *controls) if n == columns["outcome"]]
    if clash:
        raise ModelError(f"marketing_mix: column {clash[0]!r} has two roles; name it once")
    folds = split_of(table.length, weeks["split"], weeks["folds"])
    actual = table.column(columns["outcome"])
    for _, judge in folds:
        if np.ptp(actual[list(judge)]) == 0.0:
            raise ModelError(
                f"column {columns['outcome']!r} is constant in the {len(judge)} validation weeks from"
                f" {table.week(judge[0])} on; take others by split"
            )
    moved = {name: table.column(name) for name in controls} | _calendar(table, columns, set(media) | set(controls))
    train = len(folds[0][0])
    if train <= len(media) + len(moved):
        raise ModelError(
            f"{train} training weeks (at the first origin) are too few for {len(media)} channels and {len(moved)}"
            " controls, trend and seasons among them; fit fewer columns, or more weeks"
        )
    channels = _channels(table, media, columns["spend"], kinds, folds)
    signs = _signs(columns["signs"], media, list(moved))
    return Plan(columns["outcome"], actual, channels, moved, folds, table.dates, signs)


def _calendar(table: Table, columns: Mapping[str, Any], taken: set[str]) -> dict[str, Array]:
    """Trend, seasons and holidays."""
    found: dict[str, Array] = {}
    pairs = columns["seasons"] if columns["seasons"] is not None else 0 if table.dates is None else 3
    if table.dates is None and (pairs or columns["holidays"]):
        raise ModelError("marketing_mix: seasons and holidays need dates; name their column, as dates='date'")
    if columns["trend"]:
        found["trend"] = np.arange(table.length, dtype=float)
    if table.dates is not None:
        found |= season_columns(table.dates, pairs)
        found |= holiday_columns(table.dates, columns["holidays"] or {})
    for name in found:
        if name in taken:
            raise ModelError(f"marketing_mix: column {name!r} has the name of one that is made here; rename it")
    return found


def _channels(
    table: Table, media: Sequence[str], spend: Any, kinds: Mapping[str, Any], folds: Sequence[tuple[range, range]]
) -> dict[str, Channel]:
    train = folds[0][0]
    paid = dict(spend or {})
    for name in paid:
        if name not in media:
            raise ModelError(f"marketing_mix(spend): {name!r} is no channel; the channels are {', '.join(media)}")
    chosen = {what: per_channel(kinds[what], media, what) for what in kinds}
    channels = {}
    for name in media:
        exposure = table.spend(name, len(train))
        adstock, saturation = chosen["adstock"][name] or "none", chosen["saturation"][name] or "none"
        for kind, known, what in ((adstock, ADSTOCKS, "adstock"), (saturation, SATURATIONS, "saturation")):
            if kind not in known:
                raise ModelError(f"marketing_mix({what}={kind!r}): there are {', '.join(known)}")
        recursive = adstock == "geometric" and chosen["length"][name] is None
        reference = chosen["reference"][name] or ("training peak" if recursive else "largest")
        rows = {"training peak": train, "peak": range(table.length), "largest": None}
        if reference not in rows:
            raise ModelError(f"marketing_mix(reference={reference!r}): there are {', '.join(map(repr, rows))}")
        normalised = chosen["normalised"][name]
        channels[name] = Channel(
            name=name,
            exposure=exposure,
            spend=table.spend(paid[name], len(train)) if name in paid else exposure,
            scale=float(exposure.max() if reference == "peak" else exposure[list(train)].max()),
            adstock=adstock,
            saturation=saturation,
            length=chosen["length"][name],
            normalised=not recursive if normalised is None else bool(normalised),
            reference=rows[reference],
        )
    return channels


def _signs(given: Any, media: Sequence[str], controls: Sequence[str]) -> dict[str, str]:
    signs = dict.fromkeys(media, "positive") | dict.fromkeys(controls, "free")
    for name, sign in dict(given or {}).items():
        if name not in signs or sign not in SIGNS:
            why = f"{name!r} is no column of the fit" if name not in signs else f"there is no sign {sign!r}"
            raise ModelError(f"marketing_mix(signs): {why}; there are {', '.join(SIGNS)}, for {', '.join(signs)}")
        signs[name] = sign
    return signs


def ranges_of(plan: Plan, given: Any) -> dict[str, dict[str, tuple[float, float]]]:
    """By parameter and channel, the range of each variable; a number given is a range of one value.

    Raises
    ------
    ModelError
        If a name is none, or a range is empty.
    """
    asked = dict(given or {})
    found: dict[str, dict[str, tuple[float, float]]] = {}
    for name, channel in plan.channels.items():
        for parameter, usual in (ADSTOCKS[channel.adstock] | SATURATIONS[channel.saturation]).items():
            mine = asked.get(parameter, usual)
            if isinstance(mine, Mapping):
                mine = mine.get(name, usual)
            found.setdefault(parameter, {})[name] = _pair(mine, f"marketing_mix(ranges): {parameter} of {name}")
    for parameter, each in asked.items():
        strangers = [name for name in each if name not in plan.channels] if isinstance(each, Mapping) else []
        if parameter not in found or strangers:
            what = f"{strangers[0]!r} is no channel" if strangers else f"no channel has a parameter {parameter!r}"
            raise ModelError(f"marketing_mix(ranges): {what}; the parameters are {', '.join(found) or 'none'}")
    return found


def penalty_range(plan: Plan, given: Any) -> tuple[float, float]:
    """The range of lambda: as given, else 1e-4 to 10 times the largest correlation of a raw column with the outcome.

    With all columns standardised, ``lambda = c`` halves the coefficient of a lone column at c = 1; at ten times the
    largest correlation nothing of note is left, and at 1e-4 of it nothing is held back.
    """
    if given is not None:
        low, high = _pair(given, "marketing_mix(penalty)")
        if low <= 0:
            raise ModelError(f"marketing_mix(penalty): its least value is {low:g}; it must be positive, for logarithms")
        return low, high
    train = list(plan.folds[0][0])
    aim = plan.actual[train] - plan.actual[train].mean()
    largest = 0.0
    for column in [*(c.exposure for c in plan.channels.values()), *plan.controls.values()]:
        moved = column[train] - column[train].mean()
        size = float(np.linalg.norm(moved) * np.linalg.norm(aim))
        largest = max(largest, abs(float(moved @ aim)) / size if size else 0.0)
    digits = float(f"{largest or 1.0:.1g}")
    return 1e-4 * digits, 10.0 * digits


def _pair(given: Any, called: str) -> tuple[float, float]:
    try:
        low, high = given if isinstance(given, Iterable) else (given, given)
        pair = float(low), float(high)
    except (TypeError, ValueError):
        raise ModelError(f"{called}: {given!r} is no range; give (low, high), or a number to hold it there") from None
    if not (np.isfinite(pair).all() and pair[0] <= pair[1]):
        raise ModelError(f"{called}: the range {pair[0]:g} to {pair[1]:g} is empty or unbounded")
    return pair
