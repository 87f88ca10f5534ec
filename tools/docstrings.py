"""What the docstrings of public names say, and what they lack.

The convention: sentences; then a line `name: meaning` for each parameter whose meaning the sentences have not told,
continued by indented lines; what is returned; each error raised and when. `docs/conf.py` lays lines about parameters
out as a list; `tests/docs/test_docstrings.py` asks that nothing is missing:

* every public name of a public module, and every public attribute of a public class, has a docstring of its own;
* it names every parameter (a class's docstring, or that of a base, those of its constructor);
* it says what is returned, when the annotation, or that of the stub, promises something;
* it names every error that the function's own code raises.

Errors that come from deeper down are the author's to remember. Compiled code is read in its source when there is one:
the Cython files for errors and attributes, the stubs for what is returned.
"""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

SOURCE = Path(__file__).resolve().parent.parent / "src"

PUBLIC_MODULES = (
    "gossamer",
    "gossamer.backdoor",
    "gossamer.baseserver",
    "gossamer.compat",
    "gossamer.core",
    "gossamer.event",
    "gossamer.events",
    "gossamer.exceptions",
    "gossamer.fileobject",
    "gossamer.greenlet",
    "gossamer.http",
    "gossamer.hub",
    "gossamer.local",
    "gossamer.lock",
    "gossamer.monkey",
    "gossamer.os",
    "gossamer.pool",
    "gossamer.pywsgi",
    "gossamer.queue",
    "gossamer.resolver",
    "gossamer.resolver.blocking",
    "gossamer.resolver.thread",
    "gossamer.server",
    "gossamer.switching",
    "gossamer.threadpool",
    "gossamer.timeout",
    "gossamer.util",
)
"""Modules with names of their own. Those that hand on the standard library's (`gossamer.socket`, ...) have none."""

PARAMETER_LINE = re.compile(r"(?P<names>\*{0,2}[A-Za-z_]\w*(?:, \*{0,2}[A-Za-z_]\w*)*): (?P<meaning>\S.*)")

# A docstring that says what comes back either says so or begins with it: "The ...", "Whether ...", "How many ...".
RETURNS = re.compile(
    r"\b(returns?|returned|yields?)\b"
    r"|\A(The|A|An|All|As|Whether|How|What|Which|Seconds|True|False|Nothing|Undo|Who|Where|Up|Both|Another|\d+|This)\b",
    re.IGNORECASE,
)
# "As `apply`", "Arguments as of `map_cb`", "The same as `start`", "As the standard library's".
BY_REFERENCE = re.compile(r"\b[Aa]s (of )?(`|[A-Z]|the standard library's)")
RAISE = re.compile(r"^\s*raise (?P<name>[A-Z]\w*)", re.MULTILINE)


class Parameter(NamedTuple):
    """A line `names: meaning` of a docstring."""

    names: str
    meaning: str


def split(docstring: str) -> list[str | Parameter]:
    """The docstring's lines, those about parameters, with the lines that continue them, as Parameter."""
    parts: list[str | Parameter] = []
    for line in inspect.cleandoc(docstring).splitlines():
        last = parts[-1] if parts else None
        if isinstance(last, Parameter) and line.startswith(" "):
            parts[-1] = Parameter(last.names, f"{last.meaning} {line.strip()}")
            continue
        found = PARAMETER_LINE.fullmatch(line)
        parts.append(Parameter(found["names"], found["meaning"]) if found else line)
    return parts


class Public(NamedTuple):
    """A public name: where users find it, and what it is."""

    name: str
    value: Any
    owner: type | None
    module: str

    @property
    def docstring(self) -> str:
        """Its own docstring, wherever that stands; empty without one."""
        value = self.value.__func__ if isinstance(self.value, staticmethod | classmethod) else self.value
        if is_plain(value):
            return attribute_docstring(self)
        text = getattr(value, "__doc__", None)
        if text and text != type(value).__doc__:
            return inspect.cleandoc(text)
        return attribute_docstring(self)


def is_plain(value: Any) -> bool:
    """Whether this is a value whose class, not itself, has the docstring that Python finds."""
    described = inspect.isroutine(value) or inspect.isclass(value) or inspect.isdatadescriptor(value)
    return not described and not isinstance(value, staticmethod | classmethod | ModuleType | property)


def public_names() -> Iterator[Public]:
    """Every public name once, under the first of its public addresses, with the members of classes."""
    seen: set[int] = set()
    for module_name in PUBLIC_MODULES:
        module = importlib.import_module(module_name)
        values = {name: getattr(module, name) for name in module.__all__}
        # A class before those that inherit from it, so that methods are found where they are defined.
        for name, value in sorted(values.items(), key=lambda item: len(getattr(item[1], "__mro__", ()))):
            if id(value) in seen or not is_ours(value):
                continue
            seen.add(id(value))
            yield Public(f"{module_name}.{name}", value, None, module_name)
            if inspect.isclass(value):
                yield from members(f"{module_name}.{name}", value, seen)


def members(name: str, owner: type, seen: set[int]) -> Iterator[Public]:
    """The public attributes of a class, inherited ones too, as far as Gossamer's classes define them."""
    for kind in owner.__mro__:
        if not kind.__module__.startswith("gossamer"):
            continue
        for attribute, value in vars(kind).items():
            if attribute.startswith("_") or id(value) in seen or value is None or hidden(owner, attribute, value):
                continue
            seen.add(id(value))
            yield Public(f"{name}.{attribute}", value, kind, kind.__module__)


def hidden(owner: type, attribute: str, value: object) -> bool:
    """Whether a subclass has another attribute of that name, or this is a class that has a public place elsewhere."""
    return inspect.getattr_static(owner, attribute, None) is not value or inspect.isclass(value)


def is_ours(value: Any) -> bool:
    """Whether it is Gossamer's to document, and not the standard library's."""
    home = getattr(value, "__module__", None) or type(getattr(value, "__self__", value)).__module__
    if inspect.isclass(getattr(value, "__self__", None)):
        home = value.__self__.__module__
    return is_plain(value) or str(home).startswith("gossamer")


def lacks(public: Public) -> list[str]:
    """What is missing in the docstring of a public name, as phrases; empty if nothing is."""
    text = public.docstring
    if not text:
        return ["a docstring of its own"]
    missing = []
    if len(text.split()) > 1 and not text.rstrip().endswith((".", ")", "]")) and "\n    " not in text:
        missing.append("an end of its last sentence")
    value = public.value.__func__ if isinstance(public.value, staticmethod | classmethod) else public.value
    told = "\n".join([text, *(inspect.cleandoc(base.__doc__ or "") for base in getattr(value, "__mro__", ()))])
    if not BY_REFERENCE.search(text):
        missing += [f"the parameter {name}" for name in parameters(value) if not names_word(told, name)]
    if inspect.isroutine(value):
        if promises_something(public, value) and not RETURNS.search(text):
            missing.append("what is returned")
        missing += [f"the error {name}" for name in sorted(raised(public, value)) if not names_word(text, name)]
    return missing


def names_word(text: str, word: str) -> bool:
    """Whether a word stands in a text. 'exc_info' also stands in '`exc_info`'."""
    return re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text) is not None


def parameters(value: Any) -> list[str]:
    """The names of the parameters that a docstring has to tell."""
    try:
        signature = inspect.signature(value)
    except (TypeError, ValueError):
        return []
    return [
        parameter.name
        for parameter in signature.parameters.values()
        if parameter.name not in {"self", "cls", "type"}
        and not parameter.name.startswith("_")
        and parameter.kind not in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD}
    ]


def promises_something(public: Public, value: Any) -> bool:
    """Whether the annotation of the result, in the code or the stub, is anything but None."""
    annotation = getattr(value, "__annotations__", {}).get("return", "")
    if not annotation:
        function = find(stub_of(public.module), public)
        annotation = ast.unparse(function.returns) if function is not None and function.returns else "None"
    return str(annotation) not in {"None", "<class 'NoneType'>", "Never", "NoReturn", "object"}


def raised(public: Public, value: Any) -> set[str]:
    """The names of the exceptions that the function's own code raises."""
    if inspect.isfunction(value):
        return set(RAISE.findall(inspect.getsource(value)))
    return set(RAISE.findall(cython_function(public)))


@functools.cache
def tree_of(path: Path) -> ast.Module:
    """A file as a syntax tree; an empty one if there is no such file."""
    return ast.parse(path.read_text() if path.exists() else "")


def path_of(module: str, suffix: str) -> Path:
    """A module's source with that suffix, in the source tree."""
    return SOURCE.joinpath(*module.split(".")).with_suffix(suffix)


def stub_of(module: str) -> ast.Module:
    """The stub of a compiled module. Classes of the core call the face that has them their home."""
    path = path_of(module, ".pyi")
    return tree_of(path if path.exists() else SOURCE / "gossamer" / "_core.pyi")


def find(tree: ast.Module, public: Public) -> ast.FunctionDef | None:
    """The definition of a function, or of a method, in a tree."""
    body: list[ast.stmt] = tree.body
    if public.owner is not None:
        classes = [node for node in body if isinstance(node, ast.ClassDef) and node.name == public.owner.__name__]
        body = classes[0].body if classes else []
    name = public.name.rpartition(".")[2]
    functions = [node for node in body if isinstance(node, ast.FunctionDef) and node.name == name]
    return functions[-1] if functions else None


def cython_function(public: Public) -> str:
    """The source of a function of a Cython module; empty if it is of another."""
    home = getattr(public.value, "__module__", None) or public.module
    path = path_of(str(home), ".pyx")
    if not path.exists():
        return ""
    lines = path.read_text().splitlines()
    if public.owner is not None:
        lines = block(lines, rf"cdef class {public.owner.__name__}\b|class {public.owner.__name__}\b")
    return "\n".join(block(lines, rf"\s*def {public.name.rpartition('.')[2]}\("))


def block(lines: list[str], opening: str) -> list[str]:
    """The lines below the one that matches, as far as they are indented deeper."""
    for number, line in enumerate(lines):
        if re.match(opening, line):
            depth = len(line) - len(line.lstrip())
            rest = lines[number + 1 :]
            ends = (
                place
                for place, text in enumerate(rest)
                if text.strip() and len(text) - len(text.lstrip()) <= depth and not text.lstrip().startswith(")")
            )
            return rest[: next(ends, len(rest))]
    return []


def attribute_docstring(public: Public) -> str:
    """The docstring of a variable: the string behind its assignment; in a class its docstring, if that names it."""
    name = public.name.rpartition(".")[2]
    if public.owner is None:
        return string_behind(home_of(public.module, name).body, name)
    body = home_of(public.owner.__module__, public.owner.__name__).body
    classes = [node for node in body if isinstance(node, ast.ClassDef) and node.name == public.owner.__name__]
    text = inspect.getdoc(public.owner) or ""
    return (string_behind(classes[0].body, name) if classes else "") or (text if names_word(text, name) else "")


def home_of(module: str, name: str) -> ast.Module:
    """The source in which a name of a module is defined: imports are followed, and the table of the package."""
    path = path_of(module, ".py")
    tree = tree_of(path if path.exists() else path_of(f"{module}.__init__", ".py"))
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return home_of(node.module, alias.name)
    lazy = getattr(importlib.import_module(module), "_NAMES", {}).get(name)
    return home_of(*lazy) if lazy else tree


def string_behind(body: list[ast.stmt], name: str) -> str:
    """The string that follows an assignment to a name."""
    for node, following in pairwise(body):
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        assigned = any(isinstance(target, ast.Name) and target.id == name for target in targets)
        if assigned and isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
            return inspect.cleandoc(str(following.value.value))
    return ""
