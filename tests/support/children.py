"""Child interpreters, for tests that exit, fork, run out of memory or might crash.

A child runs source text with the interpreter of the test itself, in a process group of its own, so that
a hung child is ended together with whatever it forked. faulthandler is on: a crash names the Python line. The root of
the source tree is on a child's path, so that it can import `tests.support`.
"""

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.support.free_threading import IS_FREE_THREADED, THE_GIL_IS_TURNED_ON
from tests.support.scale import patience

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Ended:
    """What is left of a child: its exit status (minus the number of a signal that killed it) and its output."""

    status: int
    out: str
    err: str

    def describe(self) -> str:
        """The whole outcome as text for an assertion message."""
        return f"exit status {self.status}\n--- stdout\n{self.out}\n--- stderr\n{self.err}"


def run_child(
    source: str,
    *arguments: str,
    seconds: float = 60.0,
    environment: Mapping[str, str] | None = None,
) -> Ended:
    """Run `source` in a child interpreter and return how it ended.

    arguments: appear in the child's `sys.argv[1:]`.
    seconds: how long it may take, before patience is applied.
    environment: variables set in addition to the inherited ones.
    Raises AssertionError, with the output so far, if the child does not end in time.
    """
    return run_command(
        [sys.executable, "-c", textwrap.dedent(source), *arguments], seconds=seconds, environment=environment
    )


def run_command(command: list[str], *, seconds: float = 60.0, environment: Mapping[str, str] | None = None) -> Ended:
    """Run `command` as `run_child` runs its source."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env=_environment() | dict(environment or {}),
        start_new_session=True,
    )
    try:
        out, err = process.communicate(timeout=patience(seconds))
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGABRT)
        try:
            out, err = process.communicate(timeout=patience(10))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            out, err = process.communicate()
        raise AssertionError(
            f"the child did not end in time\n{Ended(process.returncode, out, err).describe()}"
        ) from None
    return Ended(process.returncode, out, err)


def _environment() -> dict[str, str]:
    path = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    variables = {"PYTHONFAULTHANDLER": "1", "PYTHONPATH": os.pathsep.join(path)}
    if IS_FREE_THREADED:
        variables["PYTHONWARNINGS"] = THE_GIL_IS_TURNED_ON
    return {**os.environ, **variables}


def output_of(source: str, *arguments: str, seconds: float = 60.0, environment: Mapping[str, str] | None = None) -> str:
    """The standard output of a child that is expected to end with status 0."""
    ended = run_child(source, *arguments, seconds=seconds, environment=environment)
    assert ended.status == 0, ended.describe()
    return ended.out
