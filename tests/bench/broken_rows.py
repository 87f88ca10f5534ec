"""A topic of the benchmarks with rows that go wrong."""

from __future__ import annotations

import os

from bench.model import Row, Side

DISTRIBUTIONS = ()


def sound() -> float:
    return 1.0


def killed() -> float:
    os.abort()


def raising() -> float:
    raise ValueError("the workload's own mistake")


def rows(parked: int) -> list[Row]:
    good, dying, wrong = (Side("gossamer", f"{__name__}:{name}", None) for name in ("sound", "killed", "raising"))
    return [
        Row("killed", "bytes", dying, good),
        Row("raising", "bytes", wrong, good),
        Row("sound", "bytes", good, good),
    ]
