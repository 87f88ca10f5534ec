"""Attributes of a greenlet's own: `local`.

Every greenlet, raw ones and the main ones of threads included, finds attributes of its own in the same object. They
are kept in a dictionary per greenlet, found by the greenlet's address:

* An entry goes with its greenlet: by a weak reference when the greenlet is collected, and by a link when a green thread
  ends, since its object may be kept for its result.
* Neither of the two keeps the `local` alive, so that what it holds goes with its last reference.
* Attributes are looked up in that dictionary and in the class, never in the instance: nothing has to be exchanged
  before a look-up, so that several OS threads may use one object at once.

The behaviour is that of gevent's documentation of `gevent.local`, which follows `threading.local`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self
from weakref import ref

from gossamer._core import GreenThread, getcurrent, greenlet

__all__ = ["local"]


class _Entry:
    """What one greenlet has. gone: takes the entry away when the greenlet is collected."""

    __slots__ = ("attributes", "gone")

    def __init__(self, gone: ref[greenlet]) -> None:
        self.attributes: dict[str, Any] = {}
        self.gone = gone


class _Own(dict[int, _Entry]):
    """The entries of one `local` by the address of their greenlet, and how to begin another."""

    __slots__ = ("__weakref__", "arguments", "named")

    arguments: tuple[Any, ...]
    named: dict[str, Any]

    def begin(self, current: greenlet) -> dict[str, Any]:
        """The attributes of a greenlet that has none yet."""
        forget = _forgetter(ref(self), id(current))
        entry = self[id(current)] = _Entry(ref(current, forget))
        if isinstance(current, GreenThread):
            current.rawlink(forget)
        return entry.attributes


def _forgetter(entries: ref[_Own], address: int) -> Callable[[object], None]:
    def forget(_: object) -> None:
        own = entries()
        if own is not None:
            own.pop(address, None)

    return forget


class local:  # noqa: N801 - threading's name, and gevent's
    """An object whose attributes belong to the greenlet that sets them.

    A subclass may have an `__init__`, which runs once in each greenlet that uses the object, with the arguments that it
    was made with. Attributes named in `__slots__` of a subclass, and other data descriptors, are shared by all.
    `copy.copy()` makes another one that has this greenlet's attributes, as they are at that moment.

    Raises TypeError when it is made with arguments and no `__init__` takes them.
    """

    __slots__ = ("__weakref__", "_gossamer_own")

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """A new one; `__init__` follows for the greenlet that makes it."""
        if (args or kwargs) and cls.__init__ is object.__init__:
            raise TypeError(f"{cls.__name__}() takes no arguments, since it has no __init__ for them")
        self = object.__new__(cls)
        own = _Own()
        own.arguments, own.named = args, kwargs
        object.__setattr__(self, "_gossamer_own", own)
        own.begin(getcurrent())
        return self

    def __getattribute__(self, name: str) -> Any:
        attributes = _attributes(self)
        if name == "__dict__":
            return attributes
        if name in attributes and not _is_shared(type(self), name, "__set__"):
            return attributes[name]
        return object.__getattribute__(self, name)

    def __setattr__(self, name: str, value: object) -> None:
        if name == "__dict__":
            raise AttributeError(f"__dict__ of a {type(self).__name__} is each greenlet's own and cannot be replaced")
        attributes = _attributes(self)
        if _is_shared(type(self), name, "__set__"):
            object.__setattr__(self, name, value)
        else:
            attributes[name] = value

    def __delattr__(self, name: str) -> None:
        if name == "__dict__":
            raise AttributeError(f"__dict__ of a {type(self).__name__} is each greenlet's own and cannot be deleted")
        attributes = _attributes(self)
        if _is_shared(type(self), name, "__delete__"):
            object.__delattr__(self, name)
        elif attributes.pop(name, _own_of) is _own_of:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r} in this greenlet")

    def __copy__(self) -> Self:
        """Another one, with this greenlet's attributes."""
        own: _Own = _own_of(self)
        duplicate = type(self)(*own.arguments, **own.named)
        vars(duplicate).update(_attributes(self))
        return duplicate


_own_of: Callable[[local], _Own] = vars(local)["_gossamer_own"].__get__


def _attributes(self: local) -> dict[str, Any]:
    """The current greenlet's attributes of that object; it begins with those that `__init__` sets."""
    own = _own_of(self)
    current = getcurrent()
    entry = own.get(id(current))
    if entry is not None:
        return entry.attributes
    attributes = own.begin(current)
    kind = type(self)
    if kind.__init__ is not object.__init__:
        try:
            kind.__init__(self, *own.arguments, **own.named)
        except BaseException:
            own.pop(id(current), None)
            raise
    return attributes


def _is_shared(kind: type, name: str, method: str) -> bool:
    """Whether the class has a descriptor of that name that handles it by `method`."""
    for base in kind.__mro__:
        if name in base.__dict__:
            return hasattr(type(base.__dict__[name]), method)
    return False
