"""Results as a table, for the terminal and for the page, and as plain data for `--json`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from tabulate import tabulate

from bench.machine import Machine
from bench.model import NotRun, Result, Spread

Outcome = Result | NotRun

HEADINGS = (
    "operation",
    "unit",
    "ours",
    "compared with",
    "theirs",
    "ratio",
    "CPU ours",
    "CPU theirs",
    "CPU ratio",
    "required",
    "reached",
)
NOTHING = "-"


def table(outcomes: Sequence[Outcome], style: str) -> str:
    """The table in a style of tabulate ("simple" for a terminal, "github" for a page)."""
    lines = [_line(outcome) for outcome in outcomes]
    return tabulate(lines, headers=HEADINGS, tablefmt=style, disable_numparse=True)


def reasons(outcomes: Sequence[Outcome], tracebacks: bool) -> str:
    """One paragraph for each row that was not run, saying why; empty if all were. Tracebacks may be left out."""
    missing = [outcome for outcome in outcomes if isinstance(outcome, NotRun)]
    texts = [each.reason if tracebacks else each.reason.partition("\n")[0] for each in missing]
    return "\n\n".join(f"Not run: {each.row.name}: {text}" for each, text in zip(missing, texts, strict=True))


def plain(machine: Machine, date: str, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Everything measured, each sample included, as dictionaries and lists. Times are in seconds for one operation."""
    return {"date": date, "machine": dataclasses.asdict(machine), "rows": [_plain_row(each) for each in outcomes]}


def _line(outcome: Outcome) -> list[str]:
    row = outcome.row
    required = ", ".join(goal.text for goal in row.goals) or NOTHING
    if isinstance(outcome, NotRun):
        empty = [NOTHING] * 3
        return [row.name, row.unit, NOTHING, row.peer.label, NOTHING, NOTHING, *empty, required, "not run"]
    reached = ", ".join("yes" if goal.reached(outcome) else "no" for goal in row.goals) or NOTHING
    ratio, cpu_ratio = outcome.ratio, outcome.cpu_ratio
    if row.shows_cost:
        ratio, cpu_ratio = outcome.times, outcome.cpu_times
    return [
        row.name,
        row.unit,
        _figures(outcome.ours),
        row.peer.label,
        _figures(outcome.peer),
        _quotient(ratio, row.shows_cost),
        _digits(outcome.ours_cpu.median) if row.timed else NOTHING,
        _digits(outcome.peer_cpu.median) if row.timed else NOTHING,
        _quotient(cpu_ratio, row.shows_cost) if row.timed else NOTHING,
        required,
        reached,
    ]


def _plain_row(outcome: Outcome) -> dict[str, Any]:
    row = dataclasses.asdict(outcome.row)
    row["goals"] = [goal.text for goal in outcome.row.goals]
    if isinstance(outcome, NotRun):
        return {**row, "not_run": outcome.reason, "failed": outcome.failed}
    return {
        **row,
        "pairs": [dataclasses.asdict(pair) for pair in outcome.pairs],
        "ratio": dataclasses.asdict(outcome.ratio) if outcome.ratio else None,
        "cpu_ratio": dataclasses.asdict(outcome.cpu_ratio) if outcome.cpu_ratio and outcome.row.timed else None,
        "reached": [goal.reached(outcome) for goal in outcome.row.goals],
    }


def _figures(spread: Spread) -> str:
    return f"{_digits(spread.median)} ({_digits(spread.low)} to {_digits(spread.high)})"


def _quotient(spread: Spread | None, is_cost: bool) -> str:
    if spread is None:
        return NOTHING
    word = " times" if is_cost else "x"
    return f"{_digits(spread.median)}{word} ({_digits(spread.low)} to {_digits(spread.high)})"


def _digits(value: float) -> str:
    """Three significant digits, or all before the point."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
