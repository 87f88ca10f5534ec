"""The README's table of figures, made from the page (`document`): what matters most of each CPython side by side."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from tabulate import tabulate

from bench.report import HEADINGS, NOTHING

BEGIN, END = "<!-- measured -->\n", "<!-- end of what is measured -->\n"

VERSIONS = ("3.11", "3.13")
ROWS = (
    "switch round trip",
    "switch round trip, a value handed over",
    "create, run, end",
    "round robin over 400, each under 50 nested C calls",
    "memory of a parked greenlet, 100,000 of them",
    "spawn and join of 100,000",
    "sleep(0) among 100 green threads",
    "memory of a sleeping green thread, 100,000 of them",
    "item through the package's own Queue(1)",
    "item through queue.Queue(1)",
    "echo of 64 bytes over socket.socketpair()",
    "echo of 64 bytes over socket.socketpair(): the kernel's share",
    "message of a TCP echo, 1,000 connections: gevent",
    "message of a TCP echo, 1,000 connections: uvloop",
    "message of a TCP echo, 1,000 connections: Go",
    "WSGI hello world, 64 connections: gunicorn's gevent worker",
    "WSGI hello world, 64 connections: gevent.pywsgi",
    "WSGI hello world, 64 connections: granian",
)
DATED_SECTION = re.compile(r"^## CPython (\d+\.\d+)(\S*).*\n+(\d{4}-\d\d-\d\d)\.", re.MULTILINE)

Line = dict[str, str]


def table(page: str) -> str:
    """The table of what is in the page; empty if nothing is."""
    measured = [(heading, lines) for version, heading, lines in _sections(page) if version in VERSIONS]
    rows = [
        [_title(name, measured), *(cell for _, lines in measured for cell in _cells(lines.get(name)))]
        for name in ROWS
        if any(name in lines for _, lines in measured)
    ]
    headings = ["", *(cell for heading, _ in measured for cell in (heading, "the other", ""))]
    return tabulate(rows, headers=headings, tablefmt="github", disable_numparse=True) + "\n" if rows else ""


def write(readme: Path, page: str) -> None:
    """Put the table where the README has its marks. Raises ValueError if it has none."""
    text = readme.read_text()
    start, end = text.find(BEGIN), text.find(END)
    if not 0 <= start < end:
        raise ValueError(f"{readme} has no lines {BEGIN.strip()!r} and {END.strip()!r} to put the table between")
    readme.write_text(f"{text[:start]}{BEGIN}\n{table(page)}\n{text[end:]}")


def _sections(page: str) -> Iterator[tuple[str, str, dict[str, Line]]]:
    """Version, heading and lines by name of each section of the page."""
    starts = list(DATED_SECTION.finditer(page))
    ends = [*(match.start() for match in starts), len(page)][1:]
    for match, end in zip(starts, ends, strict=True):
        cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in page[match.end() : end].splitlines()]
        lines = [dict(zip(HEADINGS, row, strict=True)) for row in cells if len(row) == len(HEADINGS)]
        yield match[1], f"CPython {match[1]}{match[2]}, {match[3]}", {line["operation"]: line for line in lines}


def _title(name: str, measured: list[tuple[str, dict[str, Line]]]) -> str:
    """The name of a row, and whom it compares with."""
    peer = next(lines[name]["compared with"] for _, lines in measured if name in lines)
    return name if name.endswith(peer) else f"{name}; {peer}"


def _cells(line: Line | None) -> tuple[str, str, str]:
    """Our figure, the other's, and how they compare; what is required and not reached is said there."""
    if line is None or line["reached"] == "not run":
        return "not run", "", ""
    by_processor_time = line["required"].startswith("CPU")
    unit = " B" if line["unit"] == "bytes" else f" {line['unit']}"
    ours, theirs, ratio = (
        line[f"CPU {name}" if by_processor_time else name].partition(" (")[0] for name in ("ours", "theirs", "ratio")
    )
    missed = [
        goal
        for goal, reached in zip(line["required"].split(", "), line["reached"].split(", "), strict=True)
        if reached == "no"
    ]
    suffix = " CPU" if by_processor_time else ""
    compared = ratio + suffix + (f", **not {missed[0].removeprefix('CPU ')}**" if missed else "")
    return ours + unit + suffix, theirs + unit + suffix if theirs != NOTHING else "", compared
