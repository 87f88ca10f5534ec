"""Which cores this process's workloads run on."""

from __future__ import annotations

import os

_others: set[int] = set()


def stay_on(core: int) -> None:
    """Keep this process, and what it starts from now on, on one core."""
    _others.update(os.sched_getaffinity(0) - {core})
    os.sched_setaffinity(0, {core})


def move_away(process: int) -> None:
    """Have a child run beside what is measured and not in its way, if the machine has another core."""
    if _others:
        os.sched_setaffinity(process, _others)
