"""The command line: `python -m bench`."""

from __future__ import annotations

import argparse
import datetime
import fnmatch
import importlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from bench import document, readme, report
from bench.machine import Machine
from bench.model import NotRun, Row
from bench.pairs import QUICK, THOROUGH, Effort, measure

TOPICS = (
    "bench.switching",
    "bench.gevent_wheel",
    "bench.runtime",
    "bench.growth",
    "bench.sync",
    "bench.watchers",
    "bench.stock",
    "bench.echo",
    "bench.wsgi",
)
ROOT = Path(__file__).parent.parent
PAGE, README = ROOT / "docs" / "performance.md", ROOT / "README.md"


def main(arguments: Sequence[str] | None = None, topics: Sequence[str] = TOPICS, thorough: Effort = THOROUGH) -> int:
    """Run the rows of the topics (names of modules) and show the table; `thorough` is the effort without --quick.

    Returns the exit code: 0, 1 if a row went wrong, 2 for wrong arguments. A requirement that is not reached, or a row
    that can't run here, is told in the table and is no error.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.write and (options.only or options.quick or options.parked):
        parser.error("--write needs a full run: leave out --only, --quick and --parked")
    modules = [importlib.import_module(topic) for topic in topics]
    parked = options.parked or (100_000 if options.quick else 1_000_000)
    every = [row for module in modules for row in module.rows(parked)]
    chosen = [row for row in every if _matches(row, options.only)]
    if not chosen:
        names = "\n  ".join(row.name for row in every)
        parser.error(f"no row's name contains {options.only!r}; the rows are:\n  {names}")
    outcomes = [_measure_aloud(row, QUICK if options.quick else thorough) for row in chosen]
    distributions = dict.fromkeys(name for module in modules for name in module.DISTRIBUTIONS)
    machine = Machine.this(tuple(distributions))
    date = datetime.datetime.now(tz=datetime.UTC).date().isoformat()
    print(report.table(outcomes, "simple"), report.reasons(outcomes, tracebacks=True), sep="\n\n")
    if options.json:
        options.json.write_text(json.dumps(report.plain(machine, date, outcomes), indent=1) + "\n")
    if options.write:
        document.write(options.write, document.section(machine, date, outcomes))
        if options.write == PAGE:
            readme.write(README, PAGE.read_text())
    return 1 if any(isinstance(outcome, NotRun) and outcome.failed for outcome in outcomes) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Benchmarks of Gossamer beside its peers, in pairs. Measures the interpreter that runs it.",
    )
    parser.add_argument("--only", metavar="PATTERN", help="rows whose name contains this (* and ? as in a shell)")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter samples, smaller crowds: a first look")
    parser.add_argument("--parked", metavar="N", type=_count, help="greenlets in the largest crowd (1000000)")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write every sample to this file")
    parser.add_argument(
        "--write",
        metavar="FILE",
        type=Path,
        nargs="?",
        const=PAGE,
        help="put the table into this page (docs/performance.md), into the section of this CPython version; "
        "with no FILE, its main figures into README.md too",
    )
    return parser


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return count


def _matches(row: Row, pattern: str | None) -> bool:
    return pattern is None or fnmatch.fnmatch(row.name.lower(), f"*{pattern.lower()}*")


def _measure_aloud(row: Row, effort: Effort) -> report.Outcome:
    print(f"{row.name} ...", file=sys.stderr, flush=True)
    return measure(row, effort)


if __name__ == "__main__":
    sys.exit(main())
