"""A record that writes itself as JSON text."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any


class AsJson(ABC):
    """Whatever has ``to_dict``: plain values that JSON can hold, without a number that is not finite."""

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """Plain values under the names of the fields."""

    def to_json(self, path: str | Path | None = None) -> str:
        """The same as JSON text, also written to a file if a path is given."""
        text = json.dumps(self.to_dict(), indent=2, allow_nan=False, default=str)
        if path is not None:
            Path(path).write_text(text + "\n", encoding="utf-8")
        return text
