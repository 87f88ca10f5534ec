"""The `patch_*` functions: which groups of blocking points act, and in which OS thread.

Facts that this rests on:

* Points act in OS threads that have a hub, and the group "green-threads" is off until somebody asks for it.
* Groups are the process's, hubs the OS thread's. patch_all() is called once, in the main thread, as a rule.
"""

# gevent has arguments that mean nothing here:
# ruff: noqa: ARG001

import _thread
import sys as _sys
import warnings
from importlib import import_module

from gossamer import _core
from gossamer._sync import events
from gossamer._sync.monitored import make_hub
from gossamer.monkey._originals import save_originals
from gossamer.monkey._state import PATCHES, patched


class MonkeyPatchWarning(RuntimeWarning):
    """Something that patching cannot reach, or an argument that cannot mean what it says."""


def patch_all(
    socket: bool = True,
    dns: bool = True,
    time: bool = True,
    select: bool = True,
    thread: bool = True,
    os: bool = True,
    ssl: bool = True,
    subprocess: bool = True,
    sys: bool = False,
    aggressive: bool = True,
    Event: bool = True,  # noqa: N803 - gevent's name
    builtins: bool = True,
    signal: bool = True,
    queue: bool = True,
    contextvars: bool = True,
    **kwargs: object,
) -> bool:
    """Let everything that blocks in the standard library let other green threads run, in this OS thread.

    Each argument is one of the other functions here; False leaves it out, unless it was patched before.

    socket, ssl, select, time, os, subprocess, signal, queue, builtins, contextvars, sys: `patch_socket` and so on.
    dns: host names are looked up in pool threads.
    thread: `threading.Thread` starts green threads.
    aggressive, Event: taken for gevent's sake; events are part of `thread`.
    kwargs: for subscribers to the events (`gossamer.events`), of which one may call the patching off.

    Returns True, False if it was called off. Issues a MonkeyPatchWarning when native threads run already.
    """
    wanted = {
        "socket": socket,
        "dns": dns,
        "time": time,
        "select": select,
        "thread": thread,
        "os": os,
        "ssl": ssl,
        "subprocess": subprocess,
        "sys": sys,
        "builtins": builtins,
        "signal": signal,
        "queue": queue,
        "contextvars": contextvars,
    }
    make_hub()
    anew = any(on and name not in patched for name, on in wanted.items())
    arguments = {**wanted, "aggressive": aggressive, "Event": Event}
    if anew and not _agreed(events.GeventWillPatchAllEvent(arguments, kwargs)):
        return False
    for name in PATCHES:
        if wanted[name]:
            _patch(name)
        else:
            _leave_out(name)
    if anew:
        events.notify(events.GeventDidPatchBuiltinModulesEvent(arguments, kwargs))
        events.notify(events.GeventDidPatchAllEvent(arguments, kwargs))
    return True


def patch_socket(dns: bool = True, aggressive: bool = True) -> None:
    """Let socket operations wait green; dns: host names as well. `aggressive` is taken for gevent's sake."""
    _patch("socket")
    if dns:
        patch_dns()
    else:
        _leave_out("dns")


def patch_dns() -> None:
    """Look host names up in pool threads, while other green threads run."""
    _patch("dns")


def patch_ssl() -> None:
    """Let handshakes, reading and writing of TLS wait green."""
    _patch("ssl")


def patch_time() -> None:
    """Let `time.sleep()` wait green."""
    _patch("time")


def patch_select(aggressive: bool = True) -> None:
    """Let `select.select()`, `poll` and `epoll` objects wait green.

    gevent removes `epoll` and more from the module unless `aggressive` is False; here they work, and stay.
    """
    _patch("select")


def patch_selectors(aggressive: bool = True) -> None:
    """The same as `patch_select()`: selectors are made of what is in `select`."""
    _patch("select")


def patch_thread(
    threading: bool = True,
    _threading_local: bool = True,
    Event: bool = True,  # noqa: N803 - gevent's name
    logging: bool = True,
    existing_locks: bool = True,
) -> None:
    """Let `threading.Thread` and `_thread.start_new_thread()` start green threads, each with its own thread locals.

    threading, _threading_local, Event, logging, existing_locks: taken for gevent's sake; locks, events and logging
        handlers that exist already, and the module `_threading_local`, follow in any case.
    Issues a MonkeyPatchWarning when native threads run already: they stay native.
    """
    _patch("thread")


def patch_os() -> None:
    """Let `os.read()`, `os.write()` on pipes, `os.waitpid()` and the like wait green."""
    _patch("os")


def patch_subprocess() -> None:
    """Let waiting for child processes wait green."""
    _patch("subprocess")


def patch_queue() -> None:
    """Let `queue.SimpleQueue` wait green. The other classes of `queue` are made of locks and do so with them."""
    _patch("queue")


def patch_signal() -> None:
    """Have signal handlers run, and KeyboardInterrupt raised, while everybody waits green."""
    _patch("signal")


def patch_builtins() -> None:
    """Let `input()` wait green."""
    _patch("builtins")


def patch_contextvars() -> None:
    """Nothing to do: every greenlet has a `contextvars` context of its own."""
    _patch("contextvars")


def patch_sys(stdin: bool = True, stdout: bool = True, stderr: bool = True) -> None:
    """Nothing to do: standard streams stay what they are. Reading a line with `input()` waits green.

    stdin, stdout, stderr: accepted for compatibility.
    """
    _patch("sys")


def _patch(name: str) -> None:
    """Switch on what belongs to the patch, in this OS thread as well if it had no hub."""
    make_hub()
    if name in patched:
        return
    announced = PATCHES[name].announced
    if not all(_agreed(event) for event in _module_events(announced)):
        _leave_out(name)
        return
    if name == "thread":
        _warn_of_native_threads()
    for group in PATCHES[name].groups:
        _core.points_switch(group, True)
    patched.add(name)
    save_originals(PATCHES[name].modules)
    if events.subscribers:
        for module in announced:
            events.notify(events.GeventDidPatchModuleEvent(module, None, _sys.modules[module]))


def _agreed(event: events.GeventWillPatchEvent) -> bool:
    """Whether no subscriber is against it."""
    try:
        events.notify(event)
    except events.DoNotPatch:
        return False
    return True


def _module_events(modules: tuple[str, ...]) -> list[events.GeventWillPatchModuleEvent]:
    """What to tell subscribers, if there are any: the modules are imported for it."""
    if not events.subscribers:
        return []
    return [events.GeventWillPatchModuleEvent(module, None, import_module(module)) for module in modules]


def _leave_out(name: str) -> None:
    """Switch off what can be, unless it was asked for before."""
    if name not in patched:
        for group in PATCHES[name].optional:
            _core.points_switch(group, False)


def _warn_of_native_threads() -> None:
    """Say which threads of this process patching does not reach."""
    count = _thread._count()  # without those of pools
    threading = _sys.modules.get("threading")
    if count == 0 or threading is None:
        return
    names = sorted(it.name for it in threading.enumerate() if it is not threading.main_thread())
    known = f" ({', '.join(names)})" if names else ""
    warnings.warn(
        f"threads that run already stay native: {count}{known}. They block as ever, and may share locks, queues and "
        "sockets with green threads; call patch_all() before they are started to have them green",
        MonkeyPatchWarning,
        stacklevel=4,
    )
