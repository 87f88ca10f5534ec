"""How `gossamer serve` finds an application, and what it says when there is none."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gossamer.cli._application import ApplicationError, load_application, parse_target

SHOP = """
def app(environ, start_response): ...

def create_app(name="plain", *, debug=False):
    def application(environ, start_response): ...
    application.made = (name, debug)
    return application

class Site:
    application = app

number = 3

def broken():
    raise RuntimeError("no database\\nat all")
"""


@pytest.fixture(autouse=True)
def modules(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The current folder on sys.path, with modules in it that are forgotten afterwards."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(folder))
    (folder / "shop.py").write_text(SHOP)
    (folder / "failing.py").write_text("import shop\n1 / 0\n")
    (folder / "needing.py").write_text("import no_such_library\n")
    (folder / "ending.py").write_text("import sys\nsys.exit('bye')\n")
    (folder / "package").mkdir()
    (folder / "package" / "__init__.py").write_text("")
    (folder / "package" / "web.py").write_text(SHOP)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


def message(text: str) -> str:
    """The one line that says why `text` names no application."""
    with pytest.raises(ApplicationError) as caught:
        load_application(parse_target(text))
    line = str(caught.value)
    assert "\n" not in line
    return line


def test_a_name_is_the_application() -> None:
    assert load_application(parse_target("shop:app")) is sys.modules["shop"].app


def test_a_module_inside_a_package_is_named_as_in_an_import() -> None:
    assert load_application(parse_target("package.web:app")) is sys.modules["package.web"].app


def test_an_attribute_of_an_attribute_is_followed() -> None:
    assert load_application(parse_target("shop:Site.application")) is sys.modules["shop"].app


def test_a_call_makes_the_application() -> None:
    assert load_application(parse_target("shop:create_app()")).made == ("plain", False)  # type: ignore[attr-defined]


def test_a_call_may_have_literal_arguments() -> None:
    application = load_application(parse_target("shop:create_app('test', debug=True)"))
    assert application.made == ("test", True)  # type: ignore[attr-defined]


@pytest.mark.parametrize("text", ["shop", "shop:", ":app", "", "sh op:app", "shop..web:app"])
def test_what_is_not_of_the_form_is_said_with_an_example(text: str) -> None:
    assert "is not MODULE:APP, such as" in message(text)


@pytest.mark.parametrize("text", ["shop.py:app", "./shop:app"])
def test_a_file_instead_of_a_module_is_noticed(text: str) -> None:
    assert "not its file" in message(text)


@pytest.mark.parametrize(
    "text", ["shop:app[0]", "shop:1", "shop:create_app(x)", "shop:a()()", "shop:a(", "shop:f(**{})"]
)
def test_other_expressions_are_refused(text: str) -> None:
    assert "neither a name nor one call" in message(text)


def test_a_missing_module_is_named_with_where_it_was_looked_for(folder: Path) -> None:
    assert f"there is no module 'shopping'; looked for in {folder}" in message("shopping:app")


def test_a_missing_module_inside_a_package_is_named_in_full() -> None:
    assert "there is no module 'package.shop'" in message("package.shop:app")


def test_a_missing_attribute_is_named_with_what_there_is_instead() -> None:
    line = message("shop:application")
    assert "the module 'shop'" in line
    assert "has no attribute 'application'; there is app and create_app()" in line


def test_what_cannot_be_called_is_refused() -> None:
    assert "'shop:number' is of type int and cannot be called" in message("shop:number")


def test_a_module_that_fails_is_not_a_missing_one() -> None:
    assert message("failing:app") == "importing 'failing' failed: ZeroDivisionError: division by zero"


def test_a_module_that_needs_a_missing_one_is_not_missing_itself() -> None:
    assert message("needing:app").endswith("failed: ModuleNotFoundError: No module named 'no_such_library'")


def test_a_module_that_ends_the_program_is_said_to() -> None:
    assert "importing 'ending' ended the program (SystemExit: bye)" in message("ending:app")


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("odd:app", "importing 'odd' failed: Odd: on import"),
        ("half_odd:app", "looking up 'app' of 'half_odd:app' failed: RuntimeError: not now"),
        ("half_odd:leave()", "making the application, 'half_odd:leave()', ended the program (SystemExit: 3)"),
    ],
)
def test_whatever_the_application_raises_is_said_on_one_line(folder: Path, target: str, said: str) -> None:
    (folder / "odd.py").write_text("class Odd(BaseException): pass\nraise Odd('on import')\n")
    (folder / "half_odd.py").write_text(
        "import sys\n"
        "def leave(): sys.exit(3)\n"
        "def __getattr__(name):\n"
        "    if name == 'app': raise RuntimeError('not now')\n"
        "    raise AttributeError(name)\n"
    )
    assert said in message(target)


def test_a_factory_that_fails_is_said_to_on_one_line() -> None:
    assert message("shop:broken()") == (
        "making the application, 'shop:broken()', failed: RuntimeError: no database at all"
    )


def test_the_error_keeps_what_the_application_raised() -> None:
    with pytest.raises(ApplicationError) as caught:
        load_application(parse_target("failing:app"))
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
