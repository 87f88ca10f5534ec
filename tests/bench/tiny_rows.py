"""A topic of the benchmarks with rows whose outcome is known, for `test_bench_harness`."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

from bench.model import Cost, CostAtMost, CpuAtMost, Faster, Operation, Row, Side, ValueAtMost

DISTRIBUTIONS = ("no-such-distribution",)


def number(value: int) -> float:
    return float(value)


def known_cost(nanoseconds: int) -> Operation:
    return Operation(lambda units: Cost(units * nanoseconds * 1e-9, units * nanoseconds * 2e-9), per_unit=1)


def timed_from_outside(package: ModuleType, per_unit: int) -> Operation:
    square_root: Callable[[float], float] = package.sqrt

    def run(units: int) -> None:
        for value in range(units * per_unit):
            square_root(value)

    return Operation(run, per_unit)


def _side(label: str, workload: str, package: str | None = None, **parameters: int) -> Side:
    return Side(label, f"{__name__}:{workload}", package, parameters)


def rows(parked: int) -> list[Row]:
    timed = _side("gossamer", "timed_from_outside", "math", per_unit=10)
    small, large = _side("gossamer", "number", value=10), _side("other", "number", value=55)
    return [
        Row("square root", "ns", timed, _side("cmath", "timed_from_outside", "cmath", per_unit=10), (Faster(0.001),)),
        Row(
            "known cost",
            "us",
            _side("gossamer", "known_cost", nanoseconds=2_000_000),
            _side("other", "known_cost", nanoseconds=8_000_000),
            (Faster(4), Faster(4.5)),
        ),
        Row(
            "known processor time",
            "us",
            _side("gossamer", "known_cost", nanoseconds=2_000_000),
            _side("other", "known_cost", nanoseconds=3_000_000),
            (CpuAtMost(0.7), CpuAtMost(0.6)),
        ),
        Row("known size", "bytes", small, large, (ValueAtMost(9),)),
        Row("known growth", "bytes", small, large, (CostAtMost(0.2),)),
        Row("nothing left over", "MB", _side("gossamer", "number", value=-1), large, (ValueAtMost(1),)),
        Row(f"crowd of {parked:,}", "bytes", small, large),
        Row("peer is missing", "ns", small, _side("other", "timed_from_outside", "no_such_package", per_unit=1)),
        Row("too large", "bytes", small, large, needs_memory=10**18),
    ]
