"""Hypothesis without a clock and without chance: the suite gives the same verdict every time.

``BILEVEL_EXAMPLES=500`` looks further than the suite does, and elsewhere each time.
"""

from __future__ import annotations

import os

from hypothesis import Phase, settings

_WANTED = os.environ.get("BILEVEL_EXAMPLES")

# No shrinking: one example of a global engine may take a second, and making it smaller takes hundreds.
_PHASES = (Phase.explicit, Phase.generate)
settings.register_profile(
    "suite", deadline=None, derandomize=True, database=None, max_examples=30, phases=_PHASES, report_multiple_bugs=False
)
settings.register_profile("wide", deadline=None, database=None, max_examples=int(_WANTED or 500))
settings.load_profile("wide" if _WANTED else "suite")
