"""What every test of the runtime may rely on, and owes the next one: nobody is left parked."""

import gc
from collections.abc import Iterator

import pytest

from gossamer._core import counts, get_hub, getcurrent, settrace
from tests.support.runtime import turns


def those_left() -> tuple[int, int]:
    """How many greenlets are alive, how many were lost."""
    found = counts()
    return found["alive"], found["leaked"]


@pytest.fixture(autouse=True)
def _every_test_leaves_nobody_behind() -> Iterator[None]:
    hub = get_hub()
    before, main = those_left(), getcurrent()
    yield
    settrace(None)
    turns()
    if those_left() != before:
        gc.collect()
    assert getcurrent() is main
    assert get_hub() is hub
    assert all(now <= then for now, then in zip(those_left(), before, strict=True))
