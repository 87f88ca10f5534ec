"""Fairness: a ring that is never empty starves nobody, neither timers nor descriptors nor other OS threads.

Nothing here depends on how fast it goes: each case ends when the one that might starve has had its turn.
"""

import os
import threading
import time
from typing import Self

import pytest

from gossamer._core import GreenThread, WaitQueue, get_hub, getcurrent, sleep, spawn, wait_read
from tests.support.runtime import joined, turns, until
from tests.support.scale import patience


class Crowd:
    """Green threads, or callbacks, that keep the ring full until they are told to stop."""

    def __init__(self, kind: str) -> None:
        self.over = False
        self.kind = kind
        self.made: list[GreenThread] = []

    def _turns(self) -> None:
        while not self.over:
            sleep(0)

    def _again(self) -> None:
        if not self.over:
            get_hub().run_callback(self._again)

    def _spawns(self) -> None:
        if not self.over:
            spawn(self._spawns)

    def _hands_over(self) -> None:
        queue = WaitQueue()

        def other() -> None:
            while not self.over:
                queue.park(patience(30))
                queue.unpark()

        self.made.append(spawn(other))
        while not self.over:
            queue.unpark()
            queue.park(0.001)
        queue.unpark()

    def __enter__(self) -> Self:
        for _ in range(10):
            if self.kind == "callbacks":
                get_hub().run_callback(self._again)
            else:
                act = {"turns": self._turns, "spawns": self._spawns, "hand-overs": self._hands_over}[self.kind]
                self.made.append(spawn(act))
        return self

    def __exit__(self, *_: object) -> None:
        self.over = True
        joined(*self.made)
        turns()


kinds = pytest.mark.parametrize("kind", ["turns", "callbacks", "spawns", "hand-overs"])


@kinds
def test_a_full_ring_does_not_starve_timers(kind: str) -> None:
    with Crowd(kind):
        called: list[int] = []
        get_hub().call_later(0.002, called.append, 1)
        joined(spawn(sleep, 0.002))
        assert WaitQueue().park(timeout=0.002) is False
        until(lambda: called)


@kinds
def test_a_full_ring_does_not_starve_descriptors(kind: str) -> None:
    reading, writing = os.pipe()
    with Crowd(kind):
        for _ in range(3):
            it = spawn(wait_read, reading)
            turns()
            os.write(writing, b"x")
            joined(it)
            os.read(reading, 1)
    os.close(reading)
    os.close(writing)


@kinds
def test_a_full_ring_does_not_starve_other_threads_nor_their_wakings(kind: str) -> None:
    queue = WaitQueue()
    count = [0]

    def work() -> None:
        while count[0] < 20:
            if queue.unpark():
                count[0] += 1
            time.sleep(0)

    with Crowd(kind):
        thread = threading.Thread(target=work)
        thread.start()
        for _ in range(20):
            assert queue.park(patience(30))
        until(lambda: not thread.is_alive())
    assert count == [20]


@kinds
def test_a_full_ring_does_not_starve_callbacks_of_other_threads(kind: str) -> None:
    hub = get_hub()
    seen: list[object] = []
    with Crowd(kind):
        thread = threading.Thread(target=lambda: hub.run_callback(lambda: seen.append(getcurrent())))
        thread.start()
        until(lambda: seen)
        thread.join()
    assert seen == [hub]


def test_a_full_ring_does_not_starve_signals() -> None:
    from tests.support.children import output_of
    from tests.support.runtime import PRELUDE

    out = output_of(
        PRELUDE
        + """
over = False
def handler(*_):
    global over
    over = True
signal.signal(signal.SIGALRM, handler)
def busy():
    while not over:
        sleep(0)
signal.setitimer(signal.ITIMER_REAL, 0.02)
joined(*[spawn(busy) for _ in range(10)])
print('handled')
"""
    )
    assert out == "handled\n"


def test_a_descriptor_that_is_always_ready_starves_nobody() -> None:
    reading, writing = os.pipe()
    os.write(writing, b"x")
    over: list[int] = []

    def busy() -> None:
        while not over:
            wait_read(reading)

    crowd = [spawn(busy) for _ in range(5)]
    sleep(0.005)
    over.append(1)
    joined(*crowd)
    os.close(reading)
    os.close(writing)


def test_turns_are_shared_evenly() -> None:
    counts = [0] * 10
    over: list[int] = []

    def body(number: int) -> None:
        while not over:
            counts[number] += 1
            sleep(0)

    crowd = [spawn(body, number) for number in range(10)]
    turns(1000)
    over.append(1)
    joined(*crowd)
    assert max(counts) - min(counts) <= 1
