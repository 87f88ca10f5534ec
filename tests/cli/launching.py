"""Programs started by `python` and by `gossamer run`, to be compared."""

import re
import sys
import sysconfig
from pathlib import Path

from tests.support.children import Ended, run_command

MODULE = (sys.executable, "-m", "gossamer")
COMMAND = (sys.executable, str(Path(sysconfig.get_path("scripts"), "gossamer")))


def with_python(*words: str) -> Ended:
    """How `python WORDS` ends."""
    return run_command([sys.executable, *words])


def with_gossamer(*words: str, launcher: tuple[str, ...] = MODULE) -> Ended:
    """How `gossamer run WORDS` ends."""
    return run_command([*launcher, "run", *words])


def without_addresses(ended: Ended) -> Ended:
    """The same with the addresses of objects left out."""
    return Ended(ended.status, *(re.sub(r"0x[0-9a-f]+", "0x", text) for text in (ended.out, ended.err)))
