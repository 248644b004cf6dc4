"""``bilevel.solve`` is a function and a module of one name, whichever was met first."""

from __future__ import annotations

import sys

import commands
import pytest

# In a process of its own, for import order is what is tested; without Pyomo, which would only make it slow.
PROGRAM = """
import sys, types
solving = sys.modules["bilevel.api.solving"] = types.ModuleType("bilevel.api.solving")
solving.solve = lambda *arguments, **options: (arguments, options)
{head}
assert {name}(3, method="kkt") == ((3,), {{"method": "kkt"}})
"""


@pytest.mark.parametrize(
    ("head", "name"),
    [
        ("import bilevel.solve", "bilevel.solve"),
        ("import bilevel.solve; from bilevel import solve", "solve"),
        ("from bilevel import solve; import bilevel.solve", "solve"),
        ("from bilevel import solve; import bilevel.solve", "bilevel.solve"),
    ],
)
def test_the_module_can_be_called(head, name):
    commands.run([sys.executable, "-c", PROGRAM.format(head=head, name=name)], check=True)


def test_the_function_is_what_from_bilevel_import_gives():
    import bilevel
    from bilevel import solve

    assert callable(solve)
    assert callable(bilevel.solve)
