"""What has been patched in this process.

A *patch* is what gevent calls by the name of a module: "socket", "thread". Each stands for groups of blocking points,
and for names of the standard library that programs ask about.
"""

from typing import NamedTuple


class Patch(NamedTuple):
    """What one `patch_*` function is about.

    groups: the groups of blocking points that act once it is patched.
    modules: the modules of the standard library that are patched with it.
    optional: the groups of `groups` that are switched off when the patch is left out; the others go on.
    """

    groups: tuple[str, ...]
    modules: tuple[str, ...]
    optional: tuple[str, ...]


def _patch(group: str, *modules: str) -> Patch:
    return Patch((group,), modules, (group,))


PATCHES = {
    "builtins": _patch("builtins", "builtins"),
    "contextvars": Patch((), ("contextvars",), ()),
    "dns": _patch("dns"),
    "os": _patch("os", "os"),
    "queue": _patch("queue", "queue", "_queue"),
    "select": _patch("select", "select", "selectors"),
    "signal": _patch("signal", "signal"),
    "socket": _patch("socket", "socket"),
    "ssl": _patch("ssl", "ssl"),
    "subprocess": _patch("subprocess", "subprocess"),
    "sys": Patch((), (), ()),
    # Locks stay green when threads are left native: one that blocked the hub's OS thread could never be released by a
    # green thread, and all methods of an RLock have to agree on who owns it.
    "thread": Patch(
        ("lock", "thread", "green-threads"), ("threading", "_thread", "_threading_local"), ("green-threads",)
    ),
    "time": _patch("time", "time"),
}
"""Name of each patch -> what it is about. Patches without groups are part of how Gossamer works, on or not."""

patched: set[str] = set()
"""The patches made so far."""

saved: dict[str, dict[str, object]] = {}
"""Name of a module -> name -> the original: of functions that have become blocking points, and of what `patch_item`
replaced."""
