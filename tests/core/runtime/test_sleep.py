"""Sleeping: never less than asked for, in the order of the deadlines, for any number of sleepers."""

import random
import time
from fractions import Fraction
from typing import Any

import pytest

from gossamer._core import GreenletExit, WaitQueue, greenlet, interrupt, sleep, spawn
from tests.support.children import run_child
from tests.support.runtime import joined, turns
from tests.support.scale import scaled


@pytest.mark.parametrize("seconds", [1e-9, 1e-6, 1e-4, 1e-3, 0.0123, Fraction(1, 100)], ids=str)
def test_nobody_wakes_before_the_time(seconds: Any) -> None:
    for _ in range(5):
        before = time.monotonic()
        sleep(seconds)
        assert time.monotonic() - before >= seconds


def test_a_crowd_wakes_in_the_order_of_its_deadlines() -> None:
    woken: list[int] = []
    earliest: dict[int, float] = {}
    seconds = {number: random.Random(number).uniform(0, 0.1) for number in range(1000)}

    def body(number: int) -> None:
        earliest[number] = time.monotonic() + seconds[number]
        sleep(seconds[number])
        assert time.monotonic() >= earliest[number]
        woken.append(number)

    crowd = [spawn(body, number) for number in seconds]
    sleep(0)
    all_asleep = time.monotonic()
    joined(*crowd)
    assert sorted(woken) == sorted(seconds)
    latest_before = 0.0
    for number in woken:
        assert all_asleep + seconds[number] >= latest_before
        latest_before = max(latest_before, earliest[number])


def test_tens_of_thousands_sleep_and_can_be_woken_early() -> None:
    crowd = [spawn(sleep, 3600 + number) for number in range(scaled(20_000))]
    sleep(0)
    order = list(crowd)
    random.Random(1).shuffle(order)
    for it in order:
        assert interrupt(it, GreenletExit())
    joined(*crowd)
    assert all(isinstance(it.value, GreenletExit) for it in crowd)


@pytest.mark.parametrize("seconds", [0, 0.0, -0.0, -1, -1e300, float("-inf")], ids=repr)
def test_no_time_means_that_everybody_who_is_ready_goes_first(seconds: float) -> None:
    order: list[str] = []
    crowd = [spawn(order.append, name) for name in "abc"]
    sleep(seconds)
    order.append("main")
    joined(*crowd)
    assert order == ["a", "b", "c", "main"]


@pytest.mark.parametrize("seconds", [1e300, float("inf"), 10**12, 9e9, 9.3e9], ids=repr)
def test_a_time_beyond_the_clock_is_for_ever(seconds: float) -> None:
    it = spawn(sleep, seconds)
    sleep(0.002)
    assert not it.ready()
    assert interrupt(it, GreenletExit())
    joined(it)


@pytest.mark.parametrize(
    ("seconds", "error"),
    [
        (float("nan"), ValueError),
        ("1", TypeError),
        (None, TypeError),
        ([], TypeError),
        (1j, TypeError),
        (10**400, OverflowError),
    ],
    ids=["nan", "text", "None", "list", "complex", "too large"],
)
def test_what_is_no_time_is_refused(seconds: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        sleep(seconds)
    assert joined(spawn(lambda: sleep(0.001) or "unharmed")) == ["unharmed"]


def test_sleep_takes_seconds_and_ref_and_both_have_defaults() -> None:
    sleep()
    sleep(0, False)
    sleep(ref=False, seconds=0)


def test_sleep_refuses_other_arguments() -> None:
    with pytest.raises(TypeError):
        sleep(0, True, 0)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        sleep(0, seconds=0)  # type: ignore[misc]
    with pytest.raises(TypeError):
        sleep(minutes=0)  # type: ignore[call-arg]


def test_the_main_greenlet_sleeps_with_nobody_else_there() -> None:
    before = time.monotonic()
    sleep(0.01)
    assert time.monotonic() - before >= 0.01


def test_raw_greenlets_sleep_side_by_side() -> None:
    order: list[str] = []
    queue = WaitQueue()

    def body(name: str, seconds: float) -> None:
        sleep(seconds)
        order.append(name)
        queue.unpark()

    def main_of(name: str, seconds: float) -> None:
        greenlet(body).switch(name, seconds)

    joined(spawn(main_of, "long", 0.03), spawn(main_of, "short", 0.01))
    assert sorted(order) == ["long", "short"]


def test_sleepers_wake_while_others_never_wait() -> None:
    over: list[str] = []

    def busy() -> None:
        while not over:
            sleep(0)

    crowd = [spawn(busy) for _ in range(50)]
    sleep(0.01)
    over.append("slept")
    joined(*crowd)


def test_an_object_that_waits_while_it_is_asked_for_its_value() -> None:
    class Slow:
        def __float__(self) -> float:
            turns(2)
            return 0.001

    sleep(Slow())  # type: ignore[arg-type]
    assert WaitQueue().park(timeout=Slow()) is False  # type: ignore[arg-type]


def test_a_sandbox_that_refuses_the_newer_call_for_sleeping_gets_the_older_one() -> None:
    child = run_child("""
import ctypes
import struct
import sys
import time
from gossamer._core import sleep

EPOLL_PWAIT2, EPERM = 441, 1
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, ERRNO = 0x7FFF0000, 0x00050000
program = b"".join(
    struct.pack("HBBI", *line)
    for line in [(LOAD, 0, 0, 0), (EQUAL, 0, 1, EPOLL_PWAIT2), (RETURN, 0, 0, ERRNO | EPERM), (RETURN, 0, 0, ALLOW)]
)
buffer = ctypes.create_string_buffer(program)
filter = ctypes.create_string_buffer(struct.pack("HxxxxxxP", 4, ctypes.addressof(buffer)))
libc = ctypes.CDLL(None, use_errno=True)
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, filter, 0, 0):
    sys.exit("this system lets nobody set up a sandbox")
before = time.monotonic()
sleep(0.02)
print(time.monotonic() - before >= 0.02)
""")
    if "lets nobody" in child.err:
        pytest.skip(child.err)
    assert child.out == "True\n", child.describe()
