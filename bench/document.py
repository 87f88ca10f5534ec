"""The page of figures: an introduction, then one section for each CPython version.

A run measures one version. It replaces that version's section and leaves the others as they are, so that several runs
make up the page. The heading alone tells the sections apart.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from bench.machine import Machine
from bench.report import Outcome, reasons, table

INTRODUCTION = """\
# Performance

This page is written by `python -m bench --write`, which replaces the section of the CPython it runs on; don't edit it.

* Each row compares two sides. Each has a process of its own, both on the same core, and the two take turns, sample by
  sample, within milliseconds. A figure is the median for one operation, with the smallest and the largest sample. A
  ratio is the median of the ratios of the pairs, not a ratio of medians: neighbours on the machine slow down both.
* `5x` means that the other side costs five times as much as Gossamer, `1.2 times` that Gossamer costs 1.2 times as much
  as the other side. What is required counts against wall-clock time, or memory, or the processor time (user and
  system) where it says so; that stands beside each row, because wall-clock time alone is noise on a shared machine.
* Two requirements on one row are two stages, the easier one first.
* A TCP echo server has one core for itself and what loads it another one; the wall-clock time of a message is that of
  both together, its processor time the server's.
* Memory is the growth of the resident set and of the page tables.
"""

HEADING = re.compile(r"^## CPython (\d+)\.(\d+)(?=[^\d])", re.MULTILINE)


def section(machine: Machine, date: str, outcomes: Sequence[Outcome]) -> str:
    """The section of one run."""
    versions = ", ".join(f"{name} {version}" for name, version in machine.versions.items())
    facts = f"{date}. {machine.processor}, {machine.cores} cores, {machine.kernel}. {versions}."
    parts = [f"## CPython {machine.python}", facts, table(outcomes, "github"), reasons(outcomes, tracebacks=False)]
    return "\n\n".join(part for part in parts if part) + "\n"


def merge(page: str, new: str) -> str:
    """The page with the new section in its place: by version, the one of the same version replaced."""
    sections = {_version(old): old for old in _sections(page)}
    sections[_version(new)] = new
    return "\n".join([INTRODUCTION, *(sections[version] for version in sorted(sections))])


def write(path: Path, new: str) -> None:
    """Put the new section into the page at `path`, which need not exist yet."""
    page = path.read_text() if path.exists() else ""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(merge(page, new))


def _sections(page: str) -> list[str]:
    starts = [match.start() for match in HEADING.finditer(page)]
    ends = [*starts, len(page)][1:]
    return [page[start:end].rstrip() + "\n" for start, end in zip(starts, ends, strict=True)]


def _version(section: str) -> tuple[int, int]:
    match = HEADING.match(section)
    assert match is not None
    return int(match[1]), int(match[2])
