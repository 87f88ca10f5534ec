"""Proves one family of blocking points: `python -m tests.points.proof_child FAMILY SEED SECONDS`.

The seed decides in which order the modules are imported, and whether `monkey.patch_all()` is called. Half of the
objects are made, used until their call sites are specialised, and waited on by a native thread before Gossamer is
imported; the other half after. With each, a green thread waits for a green one, a green one for a native one, and a
native one for a green one. While a green thread waits, another one, the main one, has its turns: else it would never
come to wake it.

Prints a line for each proof; a hang ends the process after so many seconds, with all stacks.
"""

from __future__ import annotations

import faulthandler
import importlib
import sys
from collections.abc import Callable
from typing import Any

MODULES = (
    "asyncio", "concurrent.futures", "fcntl", "logging", "multiprocessing", "queue", "select", "selectors", "signal",
    "socket", "sqlite3", "ssl", "subprocess", "tempfile", "threading", "time",
)  # fmt: skip
TURNS = 20


def shuffled(items: tuple[str, ...], seed: int) -> list[str]:
    """The items in an order that the seed decides. (The module random would import others.)"""
    result = list(items)
    for place in range(len(result) - 1, 0, -1):
        seed = seed * 6364136223846793005 + 1442695040888963407 & 0xFFFFFFFFFFFFFFFF
        other = (seed >> 33) % (place + 1)
        result[place], result[other] = result[other], result[place]
    return result


class Native:
    """An OS thread that never has a hub, and does what it is given, one after the other."""

    def __init__(self, start: Callable[..., object]) -> None:
        from queue import SimpleQueue

        self.work: SimpleQueue[tuple[Callable[[], object], list[object]]] = SimpleQueue()
        start(self._run, ())

    def _run(self) -> None:
        while True:
            function, result = self.work.get()
            try:
                function()
                result.append(None)
            except BaseException as fault:
                result.append(fault)

    def begin(self, function: Callable[[], object]) -> list[object]:
        """Has it done. The list will hold None, or what was raised."""
        result: list[object] = []
        self.work.put((function, result))
        return result


class Proofs:
    """What is done once Gossamer is there."""

    def __init__(self) -> None:
        self.gossamer: Any = importlib.import_module("gossamer")

    def finish(self, result: list[object]) -> None:
        """Wait, with the other green threads, for the end of what was begun, and raise what it raised."""
        while not result:
            self.gossamer.sleep(0.001)
        if isinstance(result[0], BaseException):
            raise result[0]

    def have_turns(self) -> None:
        """Nobody who waits may keep this one from running."""
        for _ in range(TURNS):
            self.gossamer.sleep(0.001)

    def green_for_green(self, family: Any) -> None:
        family.hold()
        waiter = self.gossamer.spawn(family.wait)
        self.have_turns()
        assert not (family.waits and waiter.ready()), "nobody has woken it"
        family.wake()
        waiter.get()

    def green_for_native(self, family: Any, native: Native) -> None:
        self.finish(native.begin(family.hold))
        waiter = self.gossamer.spawn(family.wait)
        self.have_turns()
        assert not (family.waits and waiter.ready()), "nobody has woken it"
        waking = native.begin(family.wake)
        waiter.get()
        self.finish(waking)

    def native_for_green(self, family: Any, begun: list[object]) -> None:
        self.have_turns()
        assert not (family.waits and begun), "nobody has woken it"
        family.wake()
        self.finish(begun)


def made(maker: Callable[[], Any]) -> Any:
    """One that has been in use for a while."""
    family = maker()
    for _ in range(family.rounds):
        family.heat()
    return family


def main() -> None:
    faulthandler.dump_traceback_later(float(sys.argv[3]), exit=True)
    from tests.points.proof_families import FAMILIES

    name, seed = sys.argv[1], int(sys.argv[2])
    maker = FAMILIES[name]
    order = shuffled((*MODULES, "gossamer"), seed)
    before = order.index("gossamer")
    for module in order[:before]:
        importlib.import_module(module)
    import _thread

    early = [made(maker) for _ in range(3)]
    native = Native(_thread.start_new_thread)
    early[2].hold()
    began = native.begin(early[2].wait)
    waiting = Native(_thread.start_new_thread)
    proofs = Proofs()
    for module in order[before + 1 :]:
        importlib.import_module(module)
    if seed % 2:
        importlib.import_module("gossamer.monkey").patch_all()
    proofs.native_for_green(early[2], began)
    print("made before: native for green")
    proofs.green_for_green(early[0])
    print("made before: green for green")
    proofs.green_for_native(early[1], waiting)
    print("made before: green for native")
    late = [maker() for _ in range(3)]
    proofs.green_for_green(late[0])
    print("made after: green for green")
    proofs.green_for_native(late[1], native)
    print("made after: green for native")
    late[2].hold()
    proofs.native_for_green(late[2], native.begin(late[2].wait))
    print("made after: native for green", flush=True)  # a native thread still waits for work
    importlib.import_module("os")._exit(0)


if __name__ == "__main__":
    main()
