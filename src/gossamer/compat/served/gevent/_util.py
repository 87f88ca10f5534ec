"""gevent's private module of that name, as far as programs import it."""

from collections.abc import Callable, Iterable
from typing import Any

__all__ = ["Lazy", "LazyOnClass", "copy_globals", "readproperty"]

_NONE = object()


class readproperty:  # noqa: N801 - gevent's name
    """A property that can be read, and hidden by an attribute of the instance."""

    def __init__(self, func: Callable[[Any], Any]) -> None:
        self.func = func
        self.__doc__ = func.__doc__

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else self.func(instance)


class Lazy(readproperty):
    """An attribute that is computed at its first use and stored in the instance."""

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        value = instance.__dict__[self.func.__name__] = self.func(instance)
        return value


class LazyOnClass(readproperty):
    """An attribute that is computed at its first use and stored in the class."""

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        value = self.func(instance)
        setattr(type(instance), self.func.__name__, value)
        return value


def copy_globals(
    source: Any,
    globs: dict[str, Any],
    only_names: Iterable[str] | None = None,
    ignore_missing_names: bool = False,
    names_to_ignore: Iterable[str] = (),
    dunder_names_to_keep: Iterable[str] = ("__implements__", "__all__", "__imports__"),
    cleanup_globs: bool = True,  # noqa: ARG001 - gevent's signature
) -> list[str]:
    """Copy the names of a module, or of them only those, into a dictionary. Returns the names that were copied.

    ignore_missing_names: False lets AttributeError tell of a name that is not there. cleanup_globs: accepted for
    compatibility.
    """
    values = vars(source)
    names = list(values if only_names is None else only_names)
    left_out, kept = set(names_to_ignore), set(dunder_names_to_keep)
    copied = []
    for name in names:
        if name in left_out or (name.startswith("__") and name not in kept):
            continue
        if name not in values and ignore_missing_names:
            continue
        globs[name] = getattr(source, name)
        copied.append(name)
    return copied
