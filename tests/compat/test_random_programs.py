"""The same random programs on gevent and under the alias: whoever has a turn, and what ends whom, is the same.

The group `gevent` of pyproject.toml has the wheel. Everything happens in child processes.
"""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.scale import patience

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("gevent") is None, reason="gevent is not installed: the dependency group `gevent` has it"
)

PROGRAMS = Path(__file__).with_name("random_programs.py")
SEEDS = 200


def happenings(*which: str) -> list[str]:
    """What happened, a line for each seed."""
    ended = subprocess.run(
        [sys.executable, PROGRAMS, "0", str(SEEDS), *which],
        capture_output=True,
        check=True,
        text=True,
        timeout=patience(60),
    )
    return ended.stdout.splitlines()


def test_random_programs_go_the_same_way_on_gevent_and_under_the_alias() -> None:
    theirs, ours = happenings(), happenings("ours")
    assert len(theirs) == SEEDS
    differing = [pair for pair in zip(theirs, ours, strict=True) if pair[0] != pair[1]]
    assert not differing, "on gevent:\n{}\nunder the alias:\n{}".format(*differing[0])
