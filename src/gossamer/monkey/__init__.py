"""gevent's patching interface, over blocking points.

gevent's `patch_*` functions replace names in the standard library. Nothing is replaced here: the functions beneath the
names know green threads already (`gossamer._core.points()`), for references and objects made before as well, and act
in every OS thread that has a hub. So patching comes down to two things:

* The calling OS thread gets its hub, so that its blocking calls let green threads run.
* `patch_thread()` makes `threading.Thread` and `_thread.start_new_thread()` start green threads.

What is patched cannot be taken back by a later call, as with gevent. An argument that is False leaves out, and switches
off, what has not been patched before: those calls block their OS thread, as they do without Gossamer. Calls may come
late, and may be repeated.

What no call can reach is named in one `MonkeyPatchWarning`: native threads that run already stay native. Neither are
locks inside C libraries reached, nor threads that a C library runs by itself.

The interface is that of gevent 26.9's documentation of `gevent.monkey`, run as a module included
(`python -m gossamer.monkey SCRIPT`). Subscribers to `gossamer.events` are told what is patched, and may forbid it;
plugins that are found by entry points are not called.
"""

from gossamer.monkey._main import main
from gossamer.monkey._originals import (
    get_original,
    is_anything_patched,
    is_module_patched,
    is_object_patched,
    patch_item,
    patch_module,
    saved,
)
from gossamer.monkey._patches import (
    MonkeyPatchWarning,
    patch_all,
    patch_builtins,
    patch_contextvars,
    patch_dns,
    patch_os,
    patch_queue,
    patch_select,
    patch_selectors,
    patch_signal,
    patch_socket,
    patch_ssl,
    patch_subprocess,
    patch_sys,
    patch_thread,
    patch_time,
)

__all__ = [
    "MonkeyPatchWarning",
    "get_original",
    "is_anything_patched",
    "is_module_patched",
    "is_object_patched",
    "main",
    "patch_all",
    "patch_builtins",
    "patch_contextvars",
    "patch_dns",
    "patch_item",
    "patch_module",
    "patch_os",
    "patch_queue",
    "patch_select",
    "patch_selectors",
    "patch_signal",
    "patch_socket",
    "patch_ssl",
    "patch_subprocess",
    "patch_sys",
    "patch_thread",
    "patch_time",
    "saved",
]
