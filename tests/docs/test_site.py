"""The pages as a site: it builds strictly, asks nothing of a network, and says what the parts and models say."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from html.parser import HTMLParser
from urllib.parse import urlsplit

import pytest
from pages import PAGES, ROOT, inline_code, shown

from bilevel import registry


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return folder


class Loaded(HTMLParser):
    """What a browser loads to show a page."""

    def __init__(self):
        super().__init__()
        self.addresses = []

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.addresses += [values[name] for name in ("src", "srcset") if values.get(name)]
        if tag == "link":
            self.addresses.append(values.get("href", ""))


def test_the_site_builds_and_loads_nothing_from_a_network(site):
    for page in site.rglob("*.html"):
        loaded = Loaded()
        loaded.feed(page.read_text(encoding="utf-8"))
        assert not [address for address in loaded.addresses if urlsplit(address).netloc], page
    for sheet in site.rglob("*.css"):
        assert not re.findall(r"(?:url\(|@import)\s*[\"']?(?:https?:)?//", sheet.read_text(encoding="utf-8")), sheet


def test_no_table_is_left_a_paragraph(site):
    for page in site.rglob("*.html"):
        assert not re.search(r"\| ?:?---", page.read_text(encoding="utf-8")), page


def test_formulas_need_no_script(site):
    page = (site / "methods.html").read_text(encoding="utf-8")
    assert "<math" in page
    for page in site.rglob("*.html"):
        assert 'class="arithmatex"' not in page.read_text(encoding="utf-8"), page


def test_the_front_page_is_short_and_links_every_page():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 200
    linked = {address.partition("#")[0] for address in re.findall(r"\]\(([^)]+)\)", text)}
    assert {shown(page) for page in PAGES} <= linked | {"README.md"}


@pytest.mark.parametrize("page", PAGES, ids=shown)
def test_links_lead_somewhere(page):
    """Between the files as they stand; the site's build looks at the anchors of its own pages."""
    for address in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if not urlsplit(address).scheme and not address.startswith("#"):
            assert (page.parent / address.partition("#")[0]).is_file(), address


def test_what_is_written_from_parts_and_models_agrees_with_them():
    written = runpy.run_path(str(ROOT / "docs" / "tools" / "write_pages.py"))["pages"]()
    for file, text in written.items():
        assert file.read_text(encoding="utf-8") == text, (
            f"{shown(file)}: run python docs/tools/write_pages.py (make docs)"
        )


def test_the_table_of_proofs_names_every_method():
    text = (ROOT / "docs" / "methods.md").read_text(encoding="utf-8")
    table = text.partition("## When each is exact")[2].partition("\n\nConvexity")[0]
    named = {
        name
        for row in table.splitlines()
        if row.startswith("| `")
        for name in re.findall("`(\\w+)`", row.split("|")[1])
    }
    assert named == set(registry.methods())


def test_the_list_of_the_command_line_is_the_catalogue(capsys):
    from bilevel.command_line.main import main

    assert main(["--list"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    for entry in registry.methods().values():
        assert " ".join(f"{entry.summary} {entry.when}".replace("``", "").split()) in said


@pytest.mark.parametrize("page", [p for p in PAGES if p.name != "CHANGELOG.md"], ids=shown)
def test_files_that_a_page_names_exist(page):
    folders = ("bilevel", "solvers", "models", "examples", "tests", "benchmarks", "docs")
    for code in inline_code(page):
        if re.fullmatch(rf"(?:{'|'.join(folders)})/[\w./-]*", code):
            assert (ROOT / code).exists(), f"{code}: {shown(page)} says that it is there"
