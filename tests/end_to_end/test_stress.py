"""Random schedules over the whole runtime do what simple models of locks, queues and streams say.

GOSSAMER_STRESS_SEED  the first seed (default: a new one each time); it is printed, and repeats a round as far as
                      threads let it
"""

import os
import random
import sys

import pytest

from tests.support.children import run_command
from tests.support.scale import patience

SEED = os.environ.get("GOSSAMER_STRESS_SEED") or str(random.randrange(10**9))


@pytest.mark.parametrize(
    "seconds",
    [
        pytest.param(5, marks=pytest.mark.timeout(patience(300))),
        pytest.param(600, marks=[pytest.mark.soak, pytest.mark.timeout(patience(1200))]),
    ],
)
def test_green_and_native_threads_do_what_the_models_say(seconds: int) -> None:
    print(f"GOSSAMER_STRESS_SEED={SEED}")
    command = [sys.executable, "-m", "tests.end_to_end.stress_run", str(seconds), SEED]
    ended = run_command(command, seconds=seconds + 200)
    assert ended.status == 0, ended.describe()
    assert ended.out.endswith("rounds as the model says\n"), ended.describe()
