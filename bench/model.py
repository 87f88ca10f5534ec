"""What a benchmark is made of: rows, their two sides, what a workload hands back, and the goals of a row.

All times are in seconds for one operation. Results are compared pair by pair, never median with median: two samples
taken within milliseconds of each other had the same neighbours on the machine, two medians had not.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

TIME_UNITS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3}


@dataclass(frozen=True)
class Cost:
    """Wall-clock and processor time (user and system, all threads of the process), in seconds."""

    wall: float
    cpu: float

    def each(self, operations: int) -> Cost:
        """The cost of one of `operations` operations."""
        return Cost(self.wall / operations, self.cpu / operations)


@dataclass(frozen=True)
class Operation:
    """What a timed workload returns once it is prepared.

    run: performs as many units of work as it is told. It returns None and is timed from outside, or it times the
        interesting part itself and returns the sum.
    per_unit: how many operations one unit is (a round over 400 greenlets: 400).
    """

    run: Callable[[int], Cost | None]
    per_unit: int = 1


@dataclass(frozen=True)
class Side:
    """One of the two things a row compares.

    label: what the table calls it.
    workload: "module:function". The function prepares everything, then returns an `Operation`, or the measured number
        itself if the row's unit is not one of time.
    package: module that the function gets as its first argument (`greenlet`, `gossamer.switching`); None: no argument.
    parameters: further arguments.
    """

    label: str
    workload: str
    package: str | None
    parameters: dict[str, int] = field(default_factory=dict)


def beside_gevent(module: str, workload: str, **parameters: int) -> tuple[Side, Side]:
    """The same workload, a function of `module`, on both packages."""
    name = f"{module}:{workload}"
    return Side("gossamer", name, "gossamer", parameters), Side("gevent", name, "gevent", parameters)


@dataclass(frozen=True)
class Spread:
    """The median of some samples, with the smallest and the largest."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, samples: Sequence[float]) -> Spread:
        """The spread of at least one sample."""
        return cls(statistics.median(samples), min(samples), max(samples))


class Goal(Protocol):
    """What a row has to reach."""

    @property
    def text(self) -> str:
        """The goal as the table shows it."""

    def reached(self, result: Result) -> bool:
        """Whether the medians of the result reach it."""


@dataclass(frozen=True)
class Faster:
    """The peer must cost at least `factor` times what we cost, in wall-clock time or, where the row says so, bytes."""

    factor: float

    @property
    def text(self) -> str:
        return f"{self.factor:g}x"

    def reached(self, result: Result) -> bool:
        ratio = result.ratio
        return ratio is not None and ratio.median >= self.factor


@dataclass(frozen=True)
class CostAtMost:
    """We may cost at most `factor` times what the other side costs, in wall-clock time."""

    factor: float

    @property
    def text(self) -> str:
        return f"at most {self.factor:g} times"

    def reached(self, result: Result) -> bool:
        times = result.times
        return times is not None and times.median <= self.factor


@dataclass(frozen=True)
class CpuAtMost:
    """We may cost at most `factor` times what the other side costs, in processor time."""

    factor: float

    @property
    def text(self) -> str:
        return f"CPU at most {self.factor:.3g} times"

    def reached(self, result: Result) -> bool:
        times = result.cpu_times
        return times is not None and times.median <= self.factor


@dataclass(frozen=True)
class ValueAtMost:
    """Our own figure, in the row's unit, may be at most `limit`, whatever the peer's is."""

    limit: float

    @property
    def text(self) -> str:
        return f"at most {self.limit:,g}"

    def reached(self, result: Result) -> bool:
        return result.ours.median <= self.limit


@dataclass(frozen=True)
class Row:
    """One line of the table.

    name: says what one operation is.
    unit: a key of `TIME_UNITS`, or any other word for workloads that return a number ("bytes").
    goals: what must be reached, the easiest first; empty for a row that is there for information.
    needs_memory: bytes that must be available before the row is tried.
    """

    name: str
    unit: str
    ours: Side
    peer: Side
    goals: tuple[Goal, ...] = ()
    needs_memory: int = 0

    @property
    def timed(self) -> bool:
        """Whether the workloads are timed, as opposed to returning a number of their own."""
        return self.unit in TIME_UNITS

    @property
    def shows_cost(self) -> bool:
        """Whether the ratio is shown as how many times the other side's cost ours is."""
        return any(isinstance(goal, CostAtMost) for goal in self.goals)


@dataclass(frozen=True)
class Pair:
    """One sample of each side, taken right after one another.

    For a row that is not one of time, `wall` is the number that the workload returned and `cpu` is nan.
    """

    ours: Cost
    peer: Cost


@dataclass(frozen=True)
class Result:
    """The pairs of a row and what follows from them; figures in the row's unit."""

    row: Row
    pairs: tuple[Pair, ...]

    @property
    def ours(self) -> Spread:
        """Our cost: wall-clock time, or the number measured."""
        return self._spread([pair.ours.wall for pair in self.pairs])

    @property
    def peer(self) -> Spread:
        """The other side's cost."""
        return self._spread([pair.peer.wall for pair in self.pairs])

    @property
    def ours_cpu(self) -> Spread:
        """Our processor time."""
        return self._spread([pair.ours.cpu for pair in self.pairs])

    @property
    def peer_cpu(self) -> Spread:
        """The other side's processor time."""
        return self._spread([pair.peer.cpu for pair in self.pairs])

    @property
    def ratio(self) -> Spread | None:
        """How many times our cost the other side's is, pair by pair; None where a side's cost was nothing."""
        return _quotients([(pair.peer.wall, pair.ours.wall) for pair in self.pairs])

    @property
    def times(self) -> Spread | None:
        """How many times the other side's cost ours is, pair by pair; None where a side's cost was nothing."""
        return _quotients([(pair.ours.wall, pair.peer.wall) for pair in self.pairs])

    @property
    def cpu_ratio(self) -> Spread | None:
        """As `ratio`, in processor time."""
        return _quotients([(pair.peer.cpu, pair.ours.cpu) for pair in self.pairs])

    @property
    def cpu_times(self) -> Spread | None:
        """As `times`, in processor time."""
        return _quotients([(pair.ours.cpu, pair.peer.cpu) for pair in self.pairs])

    def _spread(self, samples: list[float]) -> Spread:
        scale = TIME_UNITS.get(self.row.unit, 1.0)
        return Spread.of([sample / scale for sample in samples])


@dataclass(frozen=True)
class NotRun:
    """A row that gave no figures, and why; `failed` when that is an error and not just something missing here."""

    row: Row
    reason: str
    failed: bool


def _quotients(pairs: Sequence[tuple[float, float]]) -> Spread | None:
    """The spread of each pair's quotient. Memory that did not grow, or even shrank, has none."""
    if not all(above > 0 and below > 0 for above, below in pairs):
        return None
    return Spread.of([above / below for above, below in pairs])
