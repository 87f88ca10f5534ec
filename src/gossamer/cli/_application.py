"""A WSGI application found by its name, `MODULE:APP` or `MODULE:FACTORY()`.

The notation is the one of gunicorn, uvicorn and others. The expression behind the colon is an attribute, perhaps of an
attribute, or one call of it with literal arguments; nothing else is evaluated.
"""

import ast
import contextlib
import importlib
import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

Application = Callable[..., Any]

LIKELY_NAMES = ("application", "app", "create_app", "make_app", "wsgi")
SUGGESTIONS = 3


class ApplicationError(Exception):
    """The application cannot be had; the message is one line for the user. `__cause__` is what it raised."""


class Target:
    """What a user names as the application.

    text: as it was typed.
    module: the full name of the module.
    path: the attributes to follow from there.
    call: positional and keyword arguments for what is found, which makes the application then; None: it is the
        application.
    """

    def __init__(
        self, text: str, module: str, path: tuple[str, ...], call: tuple[list[Any], dict[str, Any]] | None
    ) -> None:
        self.text = text
        self.module = module
        self.path = path
        self.call = call


def parse_target(text: str) -> Target:
    """What `text` names.

    Raises ApplicationError if it is neither `MODULE:APP` nor `MODULE:FACTORY()`.
    """
    module, colon, expression = text.partition(":")
    is_file = module.endswith(".py") or "/" in module
    if not colon or not expression or is_file or not all(part.isidentifier() for part in module.split(".")):
        hint = "; name the module as in an import, not its file" if is_file else ""
        raise ApplicationError(f"{text!r} is not MODULE:APP, such as 'hello:app' or 'shop.web:create_app()'{hint}")
    try:
        tree = ast.parse(expression, mode="eval").body
        call = None
        if isinstance(tree, ast.Call):
            call = _literal_arguments(tree)
            tree = tree.func
        return Target(text, module, _attribute_path(tree), call)
    except (SyntaxError, ValueError):
        raise ApplicationError(
            f"{expression!r} in {text!r} is neither a name nor one call of a name with literal arguments, "
            "such as 'app' or 'create_app(\"production\")'"
        ) from None


def _literal_arguments(tree: ast.Call) -> tuple[list[Any], dict[str, Any]]:
    keywords = {}
    for keyword in tree.keywords:
        if keyword.arg is None:
            raise ValueError("a mapping of keywords")
        keywords[keyword.arg] = ast.literal_eval(keyword.value)
    return [ast.literal_eval(argument) for argument in tree.args], keywords


def _attribute_path(tree: ast.expr) -> tuple[str, ...]:
    if isinstance(tree, ast.Attribute):
        return (*_attribute_path(tree.value), tree.attr)
    if isinstance(tree, ast.Name):
        return (tree.id,)
    raise ValueError("not an attribute")


def load_application(target: Target) -> Application:
    """Import the module and find, or make, the application.

    Raises ApplicationError if there is no such module or attribute, if importing or making it fails (`__cause__` says
    how), or if what is found cannot be called.
    """
    module = _import(target)
    found = _follow(target, module)
    if target.call is not None:
        found = _call(target, found)
    if not callable(found):
        raise ApplicationError(
            f"{target.text!r} is of type {type(found).__name__} and cannot be called; a WSGI application is a callable"
        )
    application: Application = found
    return application


def _import(target: Target) -> ModuleType:
    with _told_of(f"importing {target.module!r}"):
        try:
            return importlib.import_module(target.module)
        except ModuleNotFoundError as error:
            if error.name is not None and f"{target.module}.".startswith(f"{error.name}."):
                raise ApplicationError(f"there is no module {error.name!r}; {_where()}") from error
            raise


def _follow(target: Target, module: ModuleType) -> Any:
    found: Any = module
    for name in target.path:
        with _told_of(f"looking up {name!r} of {target.text!r}"):
            try:
                found = getattr(found, name)
            except AttributeError as error:
                raise ApplicationError(f"{_described(found)} has no attribute {name!r}{_suggestion(found)}") from error
    return found


def _call(target: Target, factory: Any) -> Any:
    arguments, keywords = target.call or ([], {})
    with _told_of(f"making the application, {target.text!r},"):
        return factory(*arguments, **keywords)


@contextlib.contextmanager
def _told_of(what: str) -> Iterator[None]:
    """Raise ApplicationError for whatever the user's code in the block raises, but for Ctrl-C."""
    try:
        yield
    except (ApplicationError, KeyboardInterrupt):
        raise
    except SystemExit as error:
        raise ApplicationError(
            f"{what} ended the program (SystemExit: {error.code}); does it start a server of its own? Put that below: "
            "if __name__ == '__main__':"
        ) from error
    except BaseException as error:
        raise ApplicationError(f"{what} failed: {_one_line(error)}") from error


def _where() -> str:
    if sys.flags.safe_path:
        return "looked for in the installed packages, not in the current folder (python -P, or PYTHONSAFEPATH)"
    return f"looked for in {sys.path[0] or '.'} and in the installed packages"


def _described(found: Any) -> str:
    if isinstance(found, ModuleType):
        return f"the module {found.__name__!r} ({getattr(found, '__file__', None) or 'built in'})"
    return " ".join(repr(found).split())


def _suggestion(found: Any) -> str:
    """Names that the user may have meant."""
    likely = [name for name in LIKELY_NAMES if callable(getattr(found, name, None))]
    if not likely:
        return ""
    calls = [f"{name}()" if name.startswith(("create", "make")) else name for name in likely[:SUGGESTIONS]]
    return f"; there is {' and '.join(calls)}"


def _one_line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
