"""What mkdocs cannot do by itself: the front page is the README, and formulas are MathML before they reach the browser.

A hook of mkdocs (``mkdocs.yml``). README, CONTRIBUTING and CHANGELOG stand at the top of the repository, where people
look for them; in the site they are pages beside the others, and links between both places are turned.
"""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from bilevel import _HOMES

ROOT = Path(__file__).parents[2]
AT_THE_TOP = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}

_UPWARDS = re.compile(rf"\]\((?:\.\./)*({'|'.join(map(re.escape, AT_THE_TOP))})(?=[)#])")
_DOWNWARDS = re.compile(r"\]\(docs/")
_INLINE = re.compile(r'<span class="arithmatex">\\\((.*?)\\\)</span>', re.DOTALL)
_DISPLAYED = re.compile(r'<div class="arithmatex">\\\[(.*?)\\\]</div>', re.DOTALL)
_ROLE = re.compile(r":(?:mod|class|func|meth|attr):(?=<code>~?)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that stand at the top of the repository."""
    for source, page in AT_THE_TOP.items():
        text = _DOWNWARDS.sub("](", (ROOT / source).read_text(encoding="utf-8"))
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Turn links to these pages."""
    up = "../" * page.file.src_uri.count("/")
    markdown = markdown.replace(
        "::: bilevel.solve\n", f"::: bilevel.{_HOMES['solve']}.solve\n"
    )  # there is a module of its name
    return _UPWARDS.sub(lambda link: f"]({up}{AT_THE_TOP[link[1]]}", markdown)


def on_page_content(content: str, **_: Any) -> str:
    """Write formulas as MathML, and the docstrings' roles as the names they stand for."""
    content = _DISPLAYED.sub(
        lambda m: f'<div class="formula">{convert(html.unescape(m[1]), display="block")}</div>', content
    )
    content = _INLINE.sub(lambda m: convert(html.unescape(m[1])), content)
    return _ROLE.sub("", content)
