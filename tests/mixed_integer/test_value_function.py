"""The path from below meets the one by patterns: both are right where both end."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import bilevel

sys.path.insert(0, str(Path(__file__).parent))
from brute_force import Instance


@pytest.mark.parametrize("seed", range(6))
def test_value_function_against_listing(seed):
    instance = Instance(seed, integers=1, continuous=seed % 2, top=2)
    result, best = bilevel.solve(instance.model(), "value_function", time_limit=10), instance.best()
    if result.verdict == "certified_global":
        assert result.upper_objective == pytest.approx(best, abs=1e-5)
    elif result.verdict == "infeasible":
        assert best is None
