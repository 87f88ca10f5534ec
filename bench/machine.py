"""What the figures were taken on."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path


@dataclass(frozen=True)
class Machine:
    """The machine, the interpreter, and the versions of what is compared.

    versions: version of each distribution, or "not installed".
    """

    processor: str
    cores: int
    kernel: str
    python: str
    versions: dict[str, str]

    @classmethod
    def this(cls, distributions: Sequence[str]) -> Machine:
        """The machine this runs on, with the versions of the distributions named."""
        return cls(
            processor=_processor(),
            cores=len(os.sched_getaffinity(0)),
            kernel=f"{platform.system()} {platform.release()} {platform.machine()}",
            python=_python(),
            versions={name: _version(name) for name in distributions},
        )


def available_memory() -> int:
    """Bytes that can be had without swapping, as the kernel estimates."""
    return kilobytes(Path("/proc/meminfo"), "MemAvailable") * 1024


def kilobytes(file: Path, name: str) -> int:
    """The figure of the line `name:   123 kB` in a file of /proc. Raises LookupError if there is none."""
    for line in file.read_text().splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return int(value.split()[0])
    raise LookupError(f"{file} has no line {name!r}: a Linux kernel with /proc mounted is needed")


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            return value.strip()
    return platform.processor() or platform.machine()


def _python() -> str:
    notes = [
        note
        for note, holds in (
            ("debug build", hasattr(sys, "gettotalrefcount")),
            ("free-threaded build", "free-threading" in sys.version),
        )
        if holds
    ]
    return ", ".join([platform.python_version(), *notes])


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "not installed"
