"""Random graphs of greenlets over several threads do exactly what a model without greenlets says.

GOSSAMER_STRESS_SECONDS  how long, in seconds (default 5; 600 in a soak)
GOSSAMER_STRESS_SEED     the first seed (default: a new one each time); it is printed, and repeats a failure

greenlet cannot be held to the model: it hands a GreenletExit to a parent that was never started as if the exception
were the tuple of its arguments.
"""

import os
import random
import sys

import pytest

from tests.support.children import run_command
from tests.support.scale import patience

SECONDS = float(os.environ.get("GOSSAMER_STRESS_SECONDS", "5"))
SEED = os.environ.get("GOSSAMER_STRESS_SEED") or str(random.randrange(10**9))


@pytest.mark.beyond_greenlet
@pytest.mark.timeout(SECONDS + patience(120))
def test_random_greenlets_do_what_the_model_says() -> None:
    print(f"GOSSAMER_STRESS_SEED={SEED}")
    command = [sys.executable, "-m", "tests.core.switch.stress_run", str(SECONDS), SEED]
    ended = run_command(command, seconds=SECONDS + 100)
    assert ended.status == 0, ended.describe()
    assert ended.out.endswith("rounds as the model says\n"), ended.describe()
