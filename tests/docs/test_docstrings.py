"""Public names say what they mean: tools/docstrings.py has the rules."""

import ast
import importlib
import inspect
from collections.abc import Callable
from pathlib import Path

import pytest

import gossamer
from tools import docstrings

PUBLIC = list(docstrings.public_names())


@pytest.mark.parametrize("module", docstrings.PUBLIC_MODULES)
def test_a_public_module_has_a_docstring_and_lists_its_names(module: str) -> None:
    imported = importlib.import_module(module)
    assert inspect.getdoc(imported)
    assert imported.__all__


def test_every_module_with_a_list_of_names_is_known_to_be_public() -> None:
    found = {
        name_of(path)
        for path in (docstrings.SOURCE / "gossamer").rglob("*.py")
        if not any(part.startswith("_") and part != "__init__.py" for part in path.relative_to(docstrings.SOURCE).parts)
        and "served" not in path.parts
        and any("__all__" in ast.unparse(node) for node in ast.parse(path.read_text()).body)
    }
    assert found - set(docstrings.PUBLIC_MODULES) == set()


def name_of(path: Path) -> str:
    parts = path.relative_to(docstrings.SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@pytest.mark.parametrize("public", PUBLIC, ids=lambda public: public.name)
def test_the_docstring_of_a_public_name_says_what_it_has_to(public: docstrings.Public) -> None:
    assert docstrings.lacks(public) == []


def test_the_names_of_the_package_the_core_and_the_compiled_modules_are_among_them() -> None:
    names = {public.name for public in PUBLIC}
    assert {
        "gossamer.spawn",
        "gossamer.sleep",
        "gossamer.Greenlet.join",
        "gossamer.event.AsyncResult.rawlink",
        "gossamer.queue.SimpleQueue.put",
        "gossamer.switching.greenlet",
    } <= names


def test_names_of_the_standard_library_are_not() -> None:
    assert "setswitchinterval" in gossamer.__all__
    assert "gossamer.setswitchinterval" not in {public.name for public in PUBLIC}


# ---- the checker itself ----


def documented(function: Callable[..., object]) -> docstrings.Public:
    return docstrings.Public(f"here.{function.__name__}", function, None, __name__)


def test_a_missing_docstring_is_found() -> None:
    def function() -> None:
        pass

    assert docstrings.lacks(documented(function)) == ["a docstring of its own"]


def test_a_parameter_a_result_and_an_error_that_are_not_told_are_found() -> None:
    def function(known: int, unknown: int) -> int:
        """Do something with `known`."""
        if known:
            raise ValueError(unknown)
        return known

    assert docstrings.lacks(documented(function)) == [
        "the parameter unknown",
        "what is returned",
        "the error ValueError",
    ]


def test_parameters_may_be_told_in_sentences_or_on_lines_of_their_own() -> None:
    def function(first: int, second: int) -> int:
        """Add `first` to another number and return the sum.

        second: that number,
            which may be negative.
        """
        return first + second

    assert docstrings.lacks(documented(function)) == []


def test_a_docstring_is_split_into_lines_and_parameters() -> None:
    text = """Summary: not a parameter of anything, since it is followed by more than a name.

    block: False does
        not wait.
    args, kwargs: for the function.
    Returns nothing.
    """
    assert docstrings.split(text)[2:] == [
        docstrings.Parameter("block", "False does not wait."),
        docstrings.Parameter("args, kwargs", "for the function."),
        "Returns nothing.",
    ]
