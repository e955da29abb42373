# SPDX-License-Identifier: MIT
"""The pages: their code runs, their links lead somewhere, their tests exist."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

import tpool

pytestmark = pytest.mark.timeout(120)

PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]
PROMISES = ROOT / "docs" / "promises.md"


def blocks():
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for number, code in enumerate(re.findall(r"```python\n(.*?)```", text, re.S)):
            yield pytest.param(code, id=f"{page.name}-{number}")


def prose(page):
    return re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S)


def anchors(page):
    """Return the anchors of its headings, as mkdocs and GitHub make them."""
    for heading in re.findall(r"^#+ (.*)$", prose(page), re.M):
        yield re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-")


@pytest.mark.parametrize("code", list(blocks()))
def test_code_of_a_page_runs_and_prints_what_it_says(code, tmp_path):
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    # Of asyncio, by -X dev; on a busy machine anything takes long.
    errors = re.sub(r"^Executing .* took .* seconds\n", "", done.stderr, flags=re.M)
    assert (done.returncode, errors) == (0, "")
    said = done.stdout.splitlines()
    for expected in re.findall(r"^ *print\(.*\)  # (.*)$", code, re.M):
        assert expected in said


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_of_a_page_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"\w+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), link
        assert not anchor or anchor in set(anchors(target)), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_a_page_names_exist(page):
    for name in re.findall(r"`([\w./-]+\.(?:c|h|py|md|toml))`", prose(page)):
        assert any(
            path.match(f"**/{name}")
            for path in ROOT.rglob(Path(name).name)
            if not path.relative_to(ROOT).parts[0].startswith((".venv", "build"))
        ), name


def test_every_promise_names_a_test_and_each_of_them_exists():
    text = PROMISES.read_text(encoding="utf-8").partition("## Not promised")[0]
    promises = re.findall(r"^- .*(?:\n  .*)*", text, re.M)
    assert promises
    named = re.compile(r"`(\w+\.py)::(\w+)(?:\[(\w+\.py)-(\w+)\])?`")
    for promise in promises:
        tests = named.findall(promise)
        assert tests, promise
        for file, name, script, case in tests:
            for place, function in ((file, name), (script, case)):
                assert not place or is_defined(place, function), (place, function)


def is_defined(file, function):
    return any(
        re.search(rf"^(async )?def {function}\(", path.read_text("utf-8"), re.M)
        for path in (ROOT / "tests").rglob(file)
    )


def test_the_site_is_built_without_a_warning(tmp_path):
    for library in ("mkdocs", "material", "mkdocstrings_handlers.python"):
        if find(library) is None:
            pytest.skip(f"{library} is not installed: pip install '.[docs]'")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-d", tmp_path]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    reference = (tmp_path / "reference" / "index.html").read_text(encoding="utf-8")
    assert "Polls the context until the request is done" in reference  # in C
    shown = set(re.findall(r' id="tpool\.(\w+)"', reference))
    assert set(tpool.__all__) <= shown


def find(library):
    try:
        return importlib.util.find_spec(library)
    except ModuleNotFoundError:  # its parent
        return None
