"""Waiting for something that happens elsewhere, without a timing that decides the outcome."""

import time
from collections.abc import Callable

from tests.support.scale import patience


def eventually(condition: Callable[[], object], seconds: float = 30.0) -> bool:
    """Whether `condition` becomes true; False only after `seconds`, with patience applied."""
    end = time.monotonic() + patience(seconds)
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.001)
    return True
