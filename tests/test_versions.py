"""What ``make test-versions`` installs as the oldest is what pyproject.toml says."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

import pytest
import versions
from packaging.version import Version

PINNED = dict(pin.split("==") for pin in versions.oldest(versions.project()))


def test_every_dependency_has_a_lower_bound_that_can_be_pinned():
    declared = versions.project()
    assert len(PINNED) >= len(declared["dependencies"])
    with pytest.raises(SystemExit, match=r"'numpy<3' is not written as name>=version"):
        versions.oldest({"dependencies": ["numpy<3"], "optional-dependencies": {}})


@pytest.mark.parametrize("name", PINNED)
def test_what_is_installed_here_is_not_older(name):
    try:
        here = version(name)
    except PackageNotFoundError:
        pytest.skip("belongs to an extra that is not installed")
    assert Version(here) >= Version(PINNED[name])
