"""What every part has: a name."""

from __future__ import annotations

from abc import ABC
from typing import ClassVar


class Part(ABC):  # noqa: B024 - what a part must do depends on its kind
    """Anything that is registered under a name."""

    name: ClassVar[str] = ""
