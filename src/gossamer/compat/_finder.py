"""The finder and loader behind the alias.

What they rest on, of the import system:

* `importlib` gives every module that a loader's `create_module()` returns a new `__spec__`, whatever it had. A
  module under two names keeps the one of its home: it is put back in `exec_module()`.
* Once a package is ours, its `__path__` leads to our folder alone, so that the ordinary path finder finds its own
  modules there, and none of a real package of that name.
* `runpy`, and tools that read source, ask the loader for `get_code`, `is_package`, `get_source`, `get_filename`
  under the name that the program used; each loader of Gossamer's modules only knows the other one.

The classes here derive from none of `importlib.abc`, and paths are strings, because of what `importlib.abc` and
`pathlib` import.
"""

# ruff: noqa: PTH100, PTH118, PTH120
# The import system gives every method more than it needs:
# ruff: noqa: ARG002

from __future__ import annotations

import importlib
import os
import sys
from importlib.machinery import ModuleSpec, PathFinder

from gossamer.compat._table import PACKAGES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from importlib.metadata import Distribution, DistributionFinder
    from types import CodeType, ModuleType
    from typing import Any

SERVED_FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "served")


class AliasFinder:
    """A finder for `sys.meta_path` that serves the packages named in `packages`, and nothing else."""

    def __init__(self) -> None:
        self.packages: tuple[str, ...] = ()

    def serves(self, fullname: str) -> bool:
        """Whether the module of that name belongs to a served package."""
        return fullname.partition(".")[0] in self.packages

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec of a module that the table lists; None for every other name."""
        if not self.serves(fullname):
            return None
        if fullname in self.packages:
            return PathFinder.find_spec(fullname, [SERVED_FOLDER])
        home = _home(fullname)
        return None if home is None else _alias_spec(fullname, home)

    def find_distributions(self, context: DistributionFinder.Context) -> Iterator[Distribution]:
        """What `importlib.metadata` is to know of the served packages.

        A search of a path of the caller's own, as installers make it, is about files that are there: no answer.
        """
        if context.path is not sys.path:
            return
        from gossamer.compat._metadata import ServedDistribution

        for name in self.packages:
            if context.name is None or context.name.lower() == name:
                yield ServedDistribution(name, PACKAGES[name].version)


class AliasLoader:
    """The loader of a module of Gossamer under a second name: the same object, not a copy.

    home: the full name of Gossamer's module.
    """

    def __init__(self, home: str) -> None:
        self._home = home
        self._home_spec: ModuleSpec | None = None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Gossamer's module, imported under its own name if it was not."""
        module = importlib.import_module(self._home)
        self._home_spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Give the module, which has run under its own name, its own spec back."""
        module.__spec__ = self._home_spec

    def get_code(self, fullname: str) -> CodeType | None:
        """The code of Gossamer's module, None if it is compiled C."""
        code: CodeType | None = self._home_loader().get_code(self._home)
        return code

    def get_source(self, fullname: str) -> str | None:
        """The source of Gossamer's module, None if it is compiled C."""
        source: str | None = self._home_loader().get_source(self._home)
        return source

    def get_filename(self, fullname: str) -> str:
        """The file of Gossamer's module."""
        filename: str = self._home_loader().get_filename(self._home)
        return filename

    def is_package(self, fullname: str) -> bool:
        """Whether Gossamer's module is a package."""
        package: bool = self._home_loader().is_package(self._home)
        return package

    def _home_loader(self) -> Any:
        spec = _find_spec(self._home)
        if spec is None:
            raise ModuleNotFoundError(f"No module named {self._home!r}", name=self._home)
        return spec.loader


def _home(fullname: str) -> str | None:
    """The full name of the module of Gossamer behind `fullname`: by its row, or by that of a package it is in."""
    rows = PACKAGES[fullname.partition(".")[0]].modules
    if fullname in rows:
        return rows[fullname]
    parent, _, child = fullname.rpartition(".")
    home_of_parent = _home(parent) if parent else None
    return None if home_of_parent is None else f"{home_of_parent}.{child}"


def _alias_spec(fullname: str, home: str) -> ModuleSpec | None:
    """The spec of the module `home` under the name `fullname`; `home` itself is not imported for it."""
    home_spec = _find_spec(home)
    if home_spec is None:
        return None
    spec = ModuleSpec(fullname, AliasLoader(home), origin=home_spec.origin)  # type: ignore[arg-type]
    if home_spec.submodule_search_locations is not None:
        spec.submodule_search_locations = list(home_spec.submodule_search_locations)
    return spec


def _find_spec(fullname: str) -> ModuleSpec | None:
    """As `importlib.util.find_spec`; that module imports `threading` on some releases of CPython."""
    parent = fullname.rpartition(".")[0]
    path = getattr(importlib.import_module(parent), "__path__", None)
    if path is None:
        return None
    for finder in sys.meta_path:
        spec = finder.find_spec(fullname, path)
        if spec is not None:
            return spec
    return None
