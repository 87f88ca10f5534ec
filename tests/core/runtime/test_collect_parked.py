"""Finalizers that park while the garbage collector runs them, on a stack that is copied out meanwhile."""

import pytest

from tests.support.children import output_of

CROWD = """
import gc, threading
from gossamer import _core
from gossamer._core import sleep, spawn

gc.disable()

def deep(levels, function):
    '''Calls it with so many C functions on the stack.'''
    return next(map(lambda _: deep(levels - 1, function), (1,))) if levels else function()

over = threading.Event()
# none of those that come after these has a stack for itself
crowd = [spawn(deep, 8, over.wait) for _ in range(700)]
sleep(0)

def make_room():
    '''Has every stack that is shared used by somebody else.'''
    others = [spawn(deep, 12, lambda: [sleep(0) for _ in range(5)]) for _ in range(200)]
    for other in others:
        other.join()
    assert _core.counts()['copied_out'] > 100

def finish():
    over.set()
    for one in crowd:
        one.join()
    assert gc.collect() >= 0
"""

PARTS = """
class Part:
    pass

published, begun, go_on = [], [], threading.Event()

class Whole:
    def __init__(self):
        self.itself, self.parts = self, [Part() for _ in range(20)]
        for part in self.parts:
            part.whole = self

    def __del__(self):
        for part in self.parts:
            part.whole = None
        published.extend(self.parts)
        self.parts = part = None
        begun.append(1)
        go_on.wait()

def collect():
    Whole()
    gc.collect()
    gc.collect()

collector = spawn(collect)
sleep(0)
assert begun
"""


@pytest.mark.parametrize("environment", [{}, {"PYTHONMALLOC": "debug"}], ids=["plain", "debug"])
@pytest.mark.parametrize("kept", [0, 1, 10, 20])
def test_others_may_free_what_a_parked_collection_has_listed(kept: int, environment: dict[str, str]) -> None:
    out = output_of(
        CROWD
        + PARTS
        + f"""
make_room()
del published[{kept} // 2 : len(published) - ({kept} + 1) // 2]
make_room()
go_on.set()
collector.join()
finish()
print(len(published), [part.whole for part in published] == [None] * {kept})
""",
        environment=environment,
    )
    assert out == f"{kept} True\n"


def test_nobody_else_collects_meanwhile() -> None:
    out = output_of(
        CROWD
        + PARTS
        + """
make_room()
print(gc.collect())
go_on.set()
collector.join()
finish()
"""
    )
    assert out == "0\n"


def test_greenlets_that_are_collected_may_wait_in_their_finally_blocks() -> None:
    out = output_of(
        CROWD
        + """
ended = []

def wait(number):
    own = _core.getcurrent()
    own.itself = own
    try:
        own.parent.switch()
    finally:
        deep(number % 10, lambda: sleep(0))
        ended.append(number)

def collect():
    for number in range(20):
        _core.greenlet(wait).switch(number)
    gc.collect()

collectors = [spawn(collect) for _ in range(10)]
make_room()
for collector in collectors:
    collector.join()
finish()
print(sorted(ended) == sorted([*range(20)] * 10))
"""
    )
    assert out == "True\n"
