"""``python -m bilevel.solve model.py``: the command line.

The public function is called ``bilevel.solve`` too, and Python binds an imported submodule to that very name; so this
module can be called, and ``import bilevel.solve; bilevel.solve(model)`` means what it says.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any


class _CallableModule(ModuleType):
    """The module once it is imported; calling it calls :func:`bilevel.api.solving.solve`."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Solve; see :func:`bilevel.api.solving.solve`."""
        from bilevel.api.solving import solve

        return solve(*args, **kwargs)


if __name__ == "__main__":
    from bilevel.command_line.main import main

    sys.exit(main())
else:
    sys.modules[__name__].__class__ = _CallableModule
