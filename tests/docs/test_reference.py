"""The reference has a place for every public module, and the command line's page for every option."""

import re

import pytest

from tests.cli.launching import MODULE
from tests.support.children import ROOT, run_command
from tools import docstrings

REFERENCE = ROOT / "docs" / "reference"


def test_the_reference_describes_every_public_module_once() -> None:
    pages = "\n".join(page.read_text() for page in REFERENCE.glob("*.md"))
    described = re.findall(r"^\.\. automodule:: (\S+)$", pages, re.MULTILINE)
    assert sorted(described) == sorted(docstrings.PUBLIC_MODULES)


@pytest.mark.parametrize("command", ["run", "serve"])
def test_the_page_on_the_command_line_names_the_options_that_there_are(command: str) -> None:
    ended = run_command([*MODULE, command, "--help"])
    page = (REFERENCE / "command_line.md").read_text()
    section = re.split(r"^## ", page, flags=re.MULTILINE)
    [text] = [part for part in section if part.startswith(f"gossamer {command}\n")]
    assert options(text) == options(ended.out)


def options(text: str) -> set[str]:
    """The long options that a text names."""
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text))


def test_every_page_of_the_reference_is_listed() -> None:
    listed = (REFERENCE / "index.md").read_text().split()
    assert [page.stem for page in REFERENCE.glob("*.md") if page.stem not in {"index", *listed}] == []
