"""One side of a row, in a process of its own.

A library that is merely imported can change what the other one costs: an allocator hook, a signal handler, the heap
that 100,000 objects left behind. So each side has its own process, and the parent lets them take turns (`pairs`).

The parent sends the number of units of each sample; the worker answers with a `Cost`. Before the first sample it
answers `Ready`, or why it can't: `Unavailable` if the package is not there, `Failure` with the traceback.
"""

from __future__ import annotations

import gc
import importlib
import multiprocessing
import os
import signal
import time
import traceback
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Self

from bench.cores import stay_on
from bench.model import Cost, Operation, Side

PATIENCE = 600.0
"""Seconds after which a side that has not answered is given up."""


@dataclass(frozen=True)
class Ready:
    """The workload is prepared; `per_unit` as in `Operation`."""

    per_unit: int


class Unavailable(Exception):
    """The side's package can't be imported here."""


class Failure(Exception):
    """The side's process raised an exception, died, or hung."""


class Worker:
    """The parent's handle of one side's process, which runs on one core; a context manager that starts, prepares and
    ends it.

    Entering raises Unavailable if the side's package is not installed, Failure if preparing the workload went wrong.
    """

    def __init__(self, side: Side, core: int) -> None:
        self._side = side
        self._core = core

    def __enter__(self) -> Self:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, self._side, self._core), daemon=True)
        self._process.start()
        theirs.close()
        try:
            ready = self._receive("being prepared")
        except BaseException:
            self._end()
            raise
        assert isinstance(ready, Ready)
        self._per_unit = ready.per_unit
        return self

    def __exit__(self, *exception: object) -> None:
        self._end()

    def sample(self, units: int) -> Cost:
        """The cost of `units` units of work, as a whole.

        Raises Failure if the process raised an exception, died or did not answer in time.
        """
        self._connection.send(units)
        cost = self._receive("running")
        assert isinstance(cost, Cost)
        return cost

    def operations(self, units: int) -> int:
        """How many operations that many units are."""
        return units * self._per_unit

    def _end(self) -> None:
        self._connection.close()
        self._process.kill()
        self._process.join()

    def _receive(self, doing: str) -> object:
        label = self._side.label
        try:
            if not self._connection.poll(PATIENCE):
                raise Failure(f"{label} did not answer within {PATIENCE:g} s while {doing}")
            answer = self._connection.recv()
        except (EOFError, ConnectionResetError):
            self._process.join()
            raise Failure(f"{label}'s process {_ending(self._process.exitcode)} while {doing}") from None
        if isinstance(answer, Unavailable | Failure):
            raise answer
        return answer


def _ending(exitcode: int | None) -> str:
    if exitcode is not None and exitcode < 0:
        return f"died of {signal.Signals(-exitcode).name}"
    return f"ended with exit code {exitcode}"


def prepare(side: Side) -> Operation | float:
    """Import the side's package and call its workload function.

    Returns an operation to be timed, or the number that the workload measured. Raises Unavailable.
    """
    arguments = []
    if side.package is not None:
        try:
            arguments.append(importlib.import_module(side.package))
        except ImportError as error:
            raise Unavailable(f"{side.package} can't be imported: {error}") from error
    module, function = side.workload.split(":")
    workload = getattr(importlib.import_module(module), function)
    prepared: Operation | float = workload(*arguments, **side.parameters)
    return prepared


def _serve(connection: Connection, side: Side, core: int) -> None:
    """What the child process runs, until its parent hangs up."""
    stay_on(core)
    try:
        _answer(connection, side)
    except EOFError:
        pass
    except Unavailable as missing:
        connection.send(missing)
    except Exception as error:  # noqa: BLE001 - whatever a workload raises is the parent's to tell
        connection.send(Failure(f"{side.label} raised {error!r}\n{traceback.format_exc()}"))
    connection.close()
    # A million parked greenlets would take their time to be collected, and how a program ends is not measured.
    os._exit(0)


def _answer(connection: Connection, side: Side) -> None:
    prepared = prepare(side)
    gc.collect()
    connection.send(Ready(prepared.per_unit if isinstance(prepared, Operation) else 1))
    while True:
        units = connection.recv()
        connection.send(_timed(prepared, units) if isinstance(prepared, Operation) else Cost(prepared, float("nan")))


def _timed(operation: Operation, units: int) -> Cost:
    wall, cpu = time.perf_counter(), time.process_time()
    own = operation.run(units)
    whole = Cost(time.perf_counter() - wall, time.process_time() - cpu)
    return whole if own is None else own
