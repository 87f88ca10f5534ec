"""The package itself: light to import, and complete at the first use of a name."""

import pytest

import gossamer
from tests.support.children import output_of


def test_importing_the_package_imports_nothing_else() -> None:
    assert output_of("import sys; before = set(sys.modules); import gossamer; print(set(sys.modules) - before)") == (
        "{'gossamer'}\n"
    )


@pytest.mark.parametrize(
    "name", ["compat", "core", "events", "exceptions", "greenlet", "hub", "pywsgi", "switching", "util"]
)
def test_a_public_module_is_there_at_the_first_use_of_its_name(name: str) -> None:
    assert output_of(f"import gossamer; print(gossamer.{name}.__name__)") == f"gossamer.{name}\n"


def test_public_names_are_listed_before_they_are_used() -> None:
    assert output_of("import gossamer; print({'compat', 'switching', '__version__'} <= set(dir(gossamer)))") == "True\n"


@pytest.mark.parametrize("name", gossamer.__all__)
def test_a_public_name_is_found_at_its_first_use(name: str) -> None:
    assert output_of(f"import gossamer; print(gossamer.{name} is not None, {name!r} in dir(gossamer))") == "True True\n"


def test_a_name_that_is_not_there_is_an_attribute_error_that_says_which() -> None:
    with pytest.raises(AttributeError, match="^module 'gossamer' has no attribute 'spwan'$"):
        gossamer.spwan  # type: ignore[attr-defined]
