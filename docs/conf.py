"""Sphinx's settings: the documents of this folder and the reference, which is made from docstrings (`make docs`).

Docstrings here are sentences with Markdown's marks, and lines `name: meaning` (tools/docstrings.py); Sphinx takes them
for reStructuredText. What differs is translated by `as_restructured_text`. The installed package is what is described.
"""

import re
import sys
from pathlib import Path

from sphinx.application import Sphinx

import gossamer

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from tools.docstrings import Parameter, split

project = "Gossamer"
author = "The Gossamer authors"
copyright = author  # noqa: A001 - Sphinx's name
version = release = gossamer.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["conf.py"]
html_theme = "furo"
html_title = f"Gossamer {release}"

# Headings can be linked to as on the pages of repositories.
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
# `x` in a docstring: a link if that is a name of the reference, else as it is.
default_role = "py:obj"
python_use_unqualified_type_names = True

MARK = re.compile(r"(`[^`]+`|\"[^\"\n]*\")")
STAR = re.compile(r"\*|\\|\||(?<=\w)_(?!\w)")


def as_restructured_text(
    _app: Sphinx, _what: str, _name: str, _obj: object, _options: object, lines: list[str]
) -> None:
    """Translate a docstring: lines about parameters become a list, asterisks stay asterisks, examples are code."""
    result: list[str] = []
    for part in split("\n".join(lines)):
        if isinstance(part, Parameter):
            if result and not result[-1].startswith("* "):
                result.append("")
            result.append(f"* ``{part.names}``: {escaped(part.meaning)}")
            continue
        if result and result[-1].startswith("* ") and part and not part.startswith((" ", "* ")):
            result.append("")
        if part.startswith("    ") and result and not result[-1]:
            result[-1:] = ["", "::", ""]
        result.append(part if part.startswith("    ") else escaped(part, is_item=part.startswith("* ")))
    lines[:] = result


def escaped(text: str, *, is_item: bool = False) -> str:
    """A line with what is a mark in reStructuredText and none in the docstring taken literally."""
    if is_item:
        return "* " + escaped(text[2:])
    parts = MARK.split(text)
    return "".join(part if part.startswith("`") else STAR.sub(r"\\\g<0>", part) for part in parts)


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", as_restructured_text)
