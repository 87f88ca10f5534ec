"""The paired loop: both sides of a row take turns, A B, B A, A B, ...

pyperf, the field's tool, was looked at and does not do this: it finishes all processes of one benchmark before it
starts the next, so that two sides are minutes apart; it keeps one number a sample, so that processor time would need a
second run; and it compares the means of two such series. On a machine shared with others the speed swings by a factor
of two within minutes, and only samples taken right after one another can be compared. What it does well is kept:
calibrated sample lengths, a warm-up, several fresh processes (memory layout and hash seed change with each), and
a fixed core: both sides run on the same one, as two cores of one machine can differ by half at the same moment.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

from bench.machine import available_memory
from bench.model import NotRun, Pair, Result, Row
from bench.worker import Failure, Unavailable, Worker


@dataclass(frozen=True)
class Effort:
    """How thoroughly to measure.

    processes: fresh pairs of processes for each row.
    pairs: pairs of samples in each of them (rows that are not timed have one).
    sample: least length of one sample in seconds.
    """

    processes: int
    pairs: int
    sample: float


THOROUGH = Effort(processes=3, pairs=7, sample=0.02)
QUICK = Effort(processes=1, pairs=5, sample=0.005)


def measure(row: Row, effort: Effort) -> Result | NotRun:
    """Measure one row; what went wrong is told in the `NotRun`, never raised."""
    available = available_memory()
    if available < row.needs_memory:
        reason = f"needs {row.needs_memory / 1e9:.1f} GB of memory, {available / 1e9:.1f} GB are available"
        return NotRun(row, reason, failed=False)
    try:
        pairs = [pair for _ in range(effort.processes) for pair in _pairs(row, effort)]
    except Unavailable as missing:
        return NotRun(row, str(missing), failed=False)
    except Failure as failure:
        return NotRun(row, str(failure), failed=True)
    return Result(row, tuple(pairs))


def _pairs(row: Row, effort: Effort) -> Iterator[Pair]:
    """The pairs of one pair of processes."""
    core = max(os.sched_getaffinity(0))
    with Worker(row.ours, core) as ours, Worker(row.peer, core) as peer:
        if not row.timed:
            yield Pair(ours.sample(1), peer.sample(1))
            return
        our_units = _calibrated(ours, effort.sample)
        peer_units = _calibrated(peer, effort.sample)
        for number in range(effort.pairs):
            if number % 2:
                peer_cost, our_cost = peer.sample(peer_units), ours.sample(our_units)
            else:
                our_cost, peer_cost = ours.sample(our_units), peer.sample(peer_units)
            yield Pair(our_cost.each(ours.operations(our_units)), peer_cost.each(peer.operations(peer_units)))


def _calibrated(worker: Worker, seconds: float) -> int:
    """The number of units that take at least `seconds`; finding it warms the worker up.

    The very first unit may import modules and make a hub, and says nothing of those that follow.
    """
    worker.sample(1)
    units = 1
    while (took := worker.sample(units).wall) < seconds:
        needed = 1.1 * units * seconds / took if took > 0 else 0.0
        units = round(min(max(needed, units * 2), units * 10))
    return units
