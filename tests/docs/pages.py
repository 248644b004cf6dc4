"""The pages and their blocks of code. No test stands here."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])

_BLOCK = re.compile(
    r"(?:^<!-- (?P<mark>[^\n]*) -->\n)?^```(?P<language>\w*)\n(?P<code>.*?)^```$", re.DOTALL | re.MULTILINE
)


@dataclass(frozen=True)
class Block:
    """A fenced block; ``mark`` is the HTML comment right above it, ``line`` where its code begins."""

    language: str
    code: str
    mark: str
    line: int


def shown(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(page: Path, *languages: str) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    return [
        Block(found["language"], found["code"], found["mark"] or "", text.count("\n", 0, found.start("code")) + 1)
        for found in _BLOCK.finditer(text)
        if found["language"] in languages
    ]


def inline_code(page: Path) -> list[str]:
    """What stands between single backticks, outside of fenced blocks; a line's end within counts as a blank."""
    prose = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    return [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", prose)]
