"""One side of one row in this process, untimed: for a profiler to look at.

    valgrind --tool=callgrind python -m bench.solo bench.switching:round_trip gossamer.switching --units 100000
    perf record -g python -m bench.solo bench.switching:create_run_end greenlet --units 1000000 depth=1

Instruction counts repeat to a fraction of a per cent where times swing by a factor; the difference of two runs with
different `--units` leaves out what starting and preparing cost.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from bench.model import Operation, Side
from bench.worker import prepare


def main(arguments: Sequence[str] | None = None) -> int:
    """Prepare the workload and run it. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.solo", description="Run one workload, for a profiler.")
    parser.add_argument("workload", help="module:function")
    parser.add_argument("package", help="gossamer.switching, greenlet, ..., or - for a workload that takes none")
    parser.add_argument("parameters", nargs="*", metavar="NAME=NUMBER", help="the workload's parameters")
    parser.add_argument("--units", type=int, default=100_000)
    options = parser.parse_intermixed_args(arguments)
    parameters = {name: int(number) for name, _, number in (each.partition("=") for each in options.parameters)}
    package = None if options.package == "-" else options.package
    prepared = prepare(Side("solo", options.workload, package, parameters))
    if isinstance(prepared, Operation):
        prepared.run(options.units)
    else:
        print(prepared)
    return 0


if __name__ == "__main__":
    sys.exit(main())
