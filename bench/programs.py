"""Programs that a workload runs beside itself: those in C and Go that are built from bench/programs, and servers.

A program ends with the process that started it, however that one ends.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.model import Cost
from bench.worker import Unavailable

HERE = Path(__file__).parent
SOURCES = HERE / "programs"
BUILT = HERE.parent / "build" / "bench"


def built(source: str) -> str:
    """Path of the program made of bench/programs/`source`, which ends in .c or .go.

    Raises Unavailable if there is no compiler for it.
    """
    origin = SOURCES / source
    program = BUILT / source.replace(".", "-")
    if not program.exists() or program.stat().st_mtime < origin.stat().st_mtime:
        BUILT.mkdir(parents=True, exist_ok=True)
        _run([*_compiler(origin.suffix), "-o", str(program), str(origin)])
    return str(program)


def _compiler(suffix: str) -> list[str]:
    command = [*shlex.split(os.environ.get("CC", "gcc")), "-O2"] if suffix == ".c" else ["go", "build"]
    if shutil.which(command[0]) is None:
        raise Unavailable(f"{command[0]} is not installed")
    return command


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{shlex.join(command)} failed:\n{done.stderr}")


class Program:
    """A child process that is spoken to in lines of text."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        self._name = shlex.join(command)
        self._process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "--", *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **(environment or {})},
        )
        self.pid = self._process.pid

    def ask(self, line: str) -> str:
        """Send a line and return the answer to it."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        return self.read()

    def read(self) -> str:
        """The next line that it prints. Raises RuntimeError if it ends instead."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._name} ended with exit code {self._process.wait()}")
        return line.strip()

    def processor_time(self) -> float:
        """Seconds of processor time, user and system, that all its threads have used."""
        return time.clock_gettime(processor_clock(self.pid))

    def timed(self, line: str, server: Program | None = None) -> Cost:
        """Send a line whose answer is the nanoseconds that something took, and how much processor time `server` (or it
        itself) used meanwhile.
        """
        of = server or self
        before = of.processor_time()
        nanoseconds = int(self.ask(line))
        return Cost(nanoseconds / 1e9, of.processor_time() - before)


def processor_clock(process: int) -> int:
    """What clock_getcpuclockid(3) returns, which Python does not offer."""
    return ~process << 3 | 2
