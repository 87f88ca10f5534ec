"""What grows with the number of green threads: ours against ourselves, with many of them and with few.

What every green thread of a crowd does in turn has to be fetched from memory when the crowd is large, so that it costs
more than among a hundred, which fit into the processor's caches. What a few do among many that are parked must not.
"""

from __future__ import annotations

import random
from importlib import import_module
from itertools import repeat
from types import ModuleType
from typing import Any

from bench.model import CostAtMost, Operation, Row, Side

DISTRIBUTIONS = ("gossamer",)

FEW, MANY = 100, 100_000
FAR = 3600.0
"""Seconds that a sleeper sleeps: no end of a measurement sees it awake."""


def two_among_parked(gossamer: ModuleType, count: int) -> Operation:
    """One turn of two green threads that let each other go first, `count` others being parked."""
    _parked(gossamer, count)

    def turns(units: int) -> None:
        for _ in repeat(None, units):
            gossamer.sleep(0)

    def run(units: int) -> None:
        gossamer.joinall([gossamer.spawn(turns, units) for _ in range(2)])

    return Operation(run, per_unit=2)


def spawn_among_parked(gossamer: ModuleType, count: int) -> Operation:
    """A green thread's whole life, `count` others being parked."""
    _parked(gossamer, count)

    def run(units: int) -> None:
        for _ in repeat(None, units):
            gossamer.spawn(_nothing).join()

    return Operation(run)


def timer_among_timers(gossamer: ModuleType, count: int) -> Operation:
    """A timer set and taken away again, while `count` others run that are due before and after it."""
    for _ in range(count):
        gossamer.spawn(gossamer.sleep, FAR * random.uniform(0.5, 1.5))
    gossamer.sleep(0)

    def run(units: int) -> None:
        for _ in repeat(None, units):
            gossamer.Timeout.start_new(FAR).close()

    return Operation(run)


def wake_among_parked(gossamer: ModuleType, count: int) -> Operation:
    """A green thread woken by another one, `count` others being parked."""
    _parked(gossamer, count)
    ask, answer = _semaphore(), _semaphore()

    def waiter() -> None:
        while True:
            ask.acquire()
            answer.release()

    gossamer.spawn(waiter)

    def run(units: int) -> None:
        for _ in repeat(None, units):
            ask.release()
            answer.acquire()

    return Operation(run, per_unit=2)


def spawn_all(gossamer: ModuleType, count: int) -> Operation:
    """`count` green threads, all made before the first one runs."""

    def run(units: int) -> None:
        for _ in repeat(None, units):
            gossamer.joinall([gossamer.spawn(_nothing) for _ in range(count)])

    return Operation(run, per_unit=count)


def wake_all(gossamer: ModuleType, count: int) -> Operation:
    """All of `count` green threads woken in turn; each goes back to where it waited."""
    gates = [_semaphore() for _ in range(count)]

    def stay(gate: Any) -> None:
        while True:
            gate.acquire()

    for gate in gates:
        gossamer.spawn(stay, gate)
    gossamer.sleep(0)

    def run(units: int) -> None:
        for _ in repeat(None, units):
            for gate in gates:
                gate.release()
            gossamer.sleep(0)

    return Operation(run, per_unit=count)


def turn_of_all(gossamer: ModuleType, count: int) -> Operation:
    """One turn of one of `count` green threads that do nothing but let the others go first."""

    def turns() -> None:
        while True:
            gossamer.sleep(0)

    for _ in range(count):
        gossamer.spawn(turns)

    def run(units: int) -> None:
        for _ in repeat(None, units):
            gossamer.sleep(0)

    return Operation(run, per_unit=count)


def _nothing() -> None:
    pass


def _semaphore() -> Any:
    return import_module("gossamer.lock").Semaphore(0)


def _parked(gossamer: ModuleType, count: int) -> None:
    """`count` green threads that wait for what never comes."""
    gate = _semaphore()
    for _ in range(count):
        gossamer.spawn(gate.acquire)
    gossamer.sleep(0)


def _row(name: str, workload: str, factor: float) -> Row:
    path = f"{__name__}:{workload}"
    many, few = (Side(f"with {count:,}", path, "gossamer", {"count": count}) for count in (MANY, FEW))
    return Row(name, "ns", many, few, (CostAtMost(factor),), 500_000_000)


def rows(parked: int) -> list[Row]:
    """The rows of this topic; the largest crowd is not its business."""
    del parked
    return [
        _row("two green threads in turns among 100,000 parked", "two_among_parked", 1.3),
        _row("spawn and join among 100,000 parked", "spawn_among_parked", 2),
        _row("timer set and cancelled among 100,000", "timer_among_timers", 2),
        _row("green thread woken among 100,000 parked", "wake_among_parked", 2),
        _row("spawn and join of 100,000 at once", "spawn_all", 2),
        _row("all of 100,000 woken in turn", "wake_all", 8),
        _row("sleep(0) among 100,000", "turn_of_all", 8),
    ]
