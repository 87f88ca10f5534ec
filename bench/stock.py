"""The standard library's own sockets, pipes, locks and queues, beside gevent and beside the kernel.

Each workload is the same source text on both sides: gevent's runs after `monkey.patch_all()`, ours as it is.
"""

from __future__ import annotations

import os
import queue
import select
import socket
import threading
from collections.abc import Callable
from functools import partial
from importlib import import_module
from itertools import repeat
from types import ModuleType
from typing import Any

from bench.model import Cost, CostAtMost, Faster, Operation, Row, Side, beside_gevent
from bench.programs import Program, built

DISTRIBUTIONS = ("gossamer", "gevent")


def echo(green: ModuleType, size: int) -> Operation:
    """A round trip of `size` bytes between two green threads over a stock socket.socketpair()."""
    _patch(green)
    ours, theirs = socket.socketpair()
    message = b"x" * size

    def answer() -> None:
        while data := theirs.recv(1024):
            theirs.sendall(data)

    def ask(units: int) -> None:
        for _ in repeat(None, units):
            ours.sendall(message)
            ours.recv(1024)

    green.spawn(answer)

    def run(units: int) -> None:
        green.spawn(ask, units).join()

    return Operation(run)


def bare_calls(size: int) -> Operation:
    """The four system calls of such a round trip, made by a C program."""
    program = Program([built("four_calls.c"), str(size)])

    def run(units: int) -> Cost:
        return program.timed(str(units))

    return Operation(run)


def native_calls(size: int) -> Operation:
    """The same four calls by the interpreter's own socket methods: nobody ever waits."""
    ours, theirs = socket.socketpair()
    message = b"x" * size

    def run(units: int) -> None:
        for _ in repeat(None, units):
            ours.sendall(message)
            theirs.sendall(theirs.recv(1024))
            ours.recv(1024)

    return Operation(run)


def stock_queue(green: ModuleType) -> Operation:
    """One item through queue.Queue(1), from one green thread to another."""
    _patch(green)
    items: queue.Queue[int] = queue.Queue(1)

    def put(units: int) -> None:
        for item in range(units):
            items.put(item)

    def run(units: int) -> None:
        feeder = green.spawn(put, units)
        for _ in repeat(None, units):
            items.get()
        feeder.join()

    return Operation(run)


def simple_queue(green: ModuleType) -> Operation:
    """One item through a queue.SimpleQueue each way, between two green threads."""
    _patch(green)
    there: Any = queue.SimpleQueue()
    back: Any = queue.SimpleQueue()
    return _two(green, (lambda: back.put(there.get()),), (lambda: there.put(1), back.get))


def lock(green: ModuleType) -> Operation:
    """A threading.Lock that nobody else wants."""
    _patch(green)
    free = threading.Lock()

    def run(units: int) -> None:
        for _ in repeat(None, units):
            with free:
                pass

    return Operation(run)


def lock_hand_over(green: ModuleType) -> Operation:
    """Two green threads that wait for each other's release of a threading.Lock: two hand-overs."""
    _patch(green)
    there, back = threading.Lock(), threading.Lock()
    there.acquire()
    back.acquire()
    return _two(green, (there.acquire, back.release), (there.release, back.acquire))


def event(green: ModuleType) -> Operation:
    """A threading.Event set by one green thread while another waits for it, in turns: two wake-ups."""
    _patch(green)
    there, back = threading.Event(), threading.Event()
    return _two(green, (there.wait, there.clear, back.set), (there.set, back.wait, back.clear))


def pipe(green: ModuleType, size: int) -> Operation:
    """A round trip of `size` bytes through two pipes. gevent has functions of its own for that."""
    _patch(green)
    read, write = os.read, os.write
    ours, theirs = os.pipe(), os.pipe()
    if green.__name__ == "gevent":
        gevent_os = import_module("gevent.os")
        read, write = gevent_os.nb_read, gevent_os.nb_write
        for end in (*ours, *theirs):
            gevent_os.make_nonblocking(end)
    message = b"x" * size
    return _two(
        green,
        (lambda: write(theirs[1], read(ours[0], 1024)),),
        (lambda: write(ours[1], message), lambda: read(theirs[0], 1024)),
        per_unit=1,
    )


def selected(green: ModuleType) -> Operation:
    """A green thread that asks select.select() for a socket that another one writes to."""
    _patch(green)
    ours, theirs = socket.socketpair()
    return _two(
        green,
        (lambda: select.select([ours], [], []), lambda: ours.recv(1), lambda: ours.send(b"y")),
        (lambda: theirs.send(b"x"), lambda: theirs.recv(1)),
        per_unit=1,
    )


Steps = tuple[Callable[[], object], ...]


def _two(green: ModuleType, first: Steps, second: Steps, *, per_unit: int = 2) -> Operation:
    """Both in green threads of their own, `first` started first; a unit is one round of the steps of each."""

    def rounds(steps: Steps, units: int) -> None:
        for _ in repeat(None, units):
            for step in steps:
                step()

    def run(units: int) -> None:
        threads = [green.spawn(rounds, steps, units) for steps in (first, second)]
        for thread in threads:
            thread.join()

    return Operation(run, per_unit=per_unit)


def _nothing() -> None:
    pass


def _patch(green: ModuleType) -> None:
    """What gevent needs before the standard library's calls are its own; ours needs a hub, which spawn() brings."""
    if green.__name__ == "gevent":
        import_module("gevent.monkey").patch_all()
    else:
        green.spawn(_nothing).join()


_pair = partial(beside_gevent, __name__)


def rows(parked: int) -> list[Row]:
    """The rows of this topic; the largest crowd is not its business."""
    del parked
    ours, gevent = _pair("echo", size=64)
    bare = Side("4 bare system calls in C", f"{__name__}:bare_calls", None, {"size": 64})
    python = Side("the 4 calls in Python", f"{__name__}:native_calls", None, {"size": 64})
    name = "echo of 64 bytes over socket.socketpair()"
    return [
        Row(name, "us", ours, gevent, (Faster(3.2),)),
        Row(f"{name}: the kernel's share", "us", ours, bare, (CostAtMost(1.3),)),
        Row(f"{name}: what never waits", "us", ours, python),
        Row("item through queue.Queue(1)", "us", *_pair("stock_queue"), (Faster(3),)),
        Row("item through queue.SimpleQueue()", "ns", *_pair("simple_queue")),
        Row("threading.Lock acquired and released, uncontended", "ns", *_pair("lock")),
        Row("threading.Lock handed to another green thread", "ns", *_pair("lock_hand_over")),
        Row("threading.Event set while another green thread waits", "ns", *_pair("event")),
        Row("round trip of 64 bytes through two pipes", "us", *_pair("pipe", size=64)),
        Row("select.select() and an answer", "us", *_pair("selected")),
    ]
