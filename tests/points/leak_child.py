"""Counts what a family of blocking points leaves behind: `python -m tests.points.leak_child FAMILY TIMES SECONDS`.

A green thread waits on the same thing (`proof_families`) over and over, and its wait ends in each way there is: woken
by a green thread, woken by a native one, killed, timed out. Whoever comes after one that was killed or timed out must
still be woken. Each way by itself must leave as many memory blocks as there were, and on a debug build references.

Prints a line for each way; a hang ends the process after so many seconds, with all stacks.
"""

from __future__ import annotations

import _thread
import faulthandler
import gc
import os
import sys
from collections.abc import Callable

import gossamer
from gossamer._core import counts
from tests.points.proof_child import Native, Proofs
from tests.points.proof_families import FAMILIES
from tests.points.proof_family import Family
from tests.support.memory import leaks
from tests.support.runtime import open_descriptors, turns

# Each can be waited for only once, as a child has one end.
ONCE = {"SubprocessCommunicate", "SubprocessWait", "TlsHandshake", "WaitPid"}
# Broken off, these leave a part of what they sent, a connection that nobody can use, or a native thread that takes the
# end which was meant for the next one.
WHOLE = {"OpenFifo", "OsWrite", "SendAll", "TlsHandshake"}


class Waits:
    """The ways in which a wait of one family comes to its end."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.kept = FAMILIES[name]()
        self.proofs = Proofs()
        self.native = Native(_thread.start_new_thread)

    def ways(self) -> list[Callable[[], None]]:
        """Those that the family can be waited for in."""
        woken = [self.woken_by_a_green_thread, self.woken_by_a_native_thread]
        return woken if self.name in WHOLE else [*woken, self.killed, self.timed_out]

    def family(self) -> Family:
        """One that nobody waits for."""
        return FAMILIES[self.name]() if self.name in ONCE else self.kept

    def woken_by_a_green_thread(self) -> None:
        family = self.family()
        family.hold()
        self._waken(family)

    def woken_by_a_native_thread(self) -> None:
        family = self.family()
        self.proofs.finish(self.native.begin(family.hold))
        waiter = gossamer.spawn(family.wait)
        turns(2)
        waking = self.native.begin(family.wake)
        waiter.get()
        self.proofs.finish(waking)

    def killed(self) -> None:
        family = self.family()
        family.hold()
        waiter = gossamer.spawn(family.wait)
        turns(2)
        waiter.kill()
        self._waken(family)

    def timed_out(self) -> None:
        family = self.family()
        family.hold()
        gossamer.spawn(gossamer.with_timeout, 0.001, family.wait, timeout_value=None).get()
        self._waken(family)

    def _waken(self, family: Family) -> None:
        waiter = gossamer.spawn(family.wait)
        turns(2)
        family.wake()
        waiter.get()


def state() -> tuple[int, int, int, int]:
    """What every wait must leave as it was: greenlets, how many leaked, waits of the hub, descriptors."""
    gc.collect()
    return counts()["alive"], counts()["leaked"], gossamer.get_hub().waits(), len(open_descriptors())


def main() -> None:
    name, times = sys.argv[1], int(sys.argv[2])
    faulthandler.dump_traceback_later(float(sys.argv[3]), exit=True)
    waits = Waits(name)
    for way in waits.ways():

        def work(way: Callable[[], None] = way) -> None:
            for _ in range(times):
                way()
            turns(2)

        work()
        before = state()
        left = leaks(work, times // 2)
        assert not left, f"{way.__name__}: {left} more with each {times} times"
        waits.proofs.have_turns()
        assert state() == before, f"{way.__name__}: {before} became {state()}"
        print(f"{way.__name__.replace('_', ' ')}: nothing left", flush=True)
    os._exit(0)  # a native thread still waits for work


if __name__ == "__main__":
    main()
