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
    announced: the modules of which subscribers to events are told, as gevent's are.
    """

    groups: tuple[str, ...]
    modules: tuple[str, ...]
    optional: tuple[str, ...]
    announced: tuple[str, ...]


def _patch(group: str, *modules: str) -> Patch:
    """One that is about a single group. Subscribers are told of the first of the modules."""
    return Patch((group,), modules, (group,), modules[:1])


PATCHES = {
    "os": _patch("os", "os"),
    # Locks stay green when threads are left native: one that blocked the hub's OS thread could never be released by a
    # green thread, and all methods of an RLock have to agree on who owns it.
    "thread": Patch(
        ("lock", "thread", "green-threads"),
        ("threading", "_thread", "_threading_local"),
        ("green-threads",),
        ("_thread", "threading"),
    ),
    "time": _patch("time", "time"),
    "socket": _patch("socket", "socket"),
    "dns": _patch("dns"),
    "select": Patch(("select",), ("select", "selectors"), ("select",), ("select", "selectors")),
    "ssl": _patch("ssl", "ssl"),
    "subprocess": _patch("subprocess", "subprocess"),
    "signal": _patch("signal", "signal"),
    "queue": _patch("queue", "queue", "_queue"),
    "builtins": Patch(("builtins",), ("builtins",), ("builtins",), ()),
    "contextvars": Patch((), ("contextvars",), (), ()),
    "sys": Patch((), (), (), ()),
}
"""Name of each patch -> what it is about, in the order of patch_all(): gevent's, which subscribers to events see.

Patches without groups are part of how Gossamer works, on or not.
"""

patched: set[str] = set()
"""The patches made so far."""

saved: dict[str, dict[str, object]] = {}
"""Name of a module -> name -> the original: of functions that have become blocking points, and of what `patch_item`
replaced."""
