"""Pinned greenlets: their stacks stay where they are while they are parked.

Copying is forced by very few stacks, in child processes.
"""

import pytest

from gossamer._core import pin, unpin
from gossamer.switching import greenlet
from tests.support.children import output_of
from tests.support.greenlets import to_parent

PRELUDE = """
import ctypes
from gossamer._core import pin, unpin
from gossamer.switching import counts, getcurrent, greenlet
main = getcurrent()
def park(*values):
    return main.switch(*values)
def crowd(count):
    many = [greenlet(park) for _ in range(count)]
    for it in many:
        it.switch()
    return many
"""


def lines(source: str) -> list[str]:
    """What `source` prints where greenlets have one stack of their own and share sixteen."""
    return output_of(PRELUDE + source, environment={"GOSSAMER_STACKS": "1"}).splitlines()


def test_pinning_counts() -> None:
    it = greenlet(lambda: [pin(), pin(), unpin(), unpin()])
    assert it.switch() == [True, True, None, None]


def test_unpinning_what_is_not_pinned_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="not pinned"):
        greenlet(unpin).switch()


def test_the_main_greenlet_can_always_be_pinned() -> None:
    assert pin()
    unpin()


def test_a_pinned_greenlet_that_ends_takes_its_pin_along() -> None:
    greenlet(pin).switch()
    for _ in range(10):
        with pytest.raises(RuntimeError, match="not pinned"):
            greenlet(unpin).switch()


def test_it_can_be_ended_while_it_is_pinned() -> None:
    it = greenlet(lambda: [pin(), to_parent()])
    it.switch()
    it.throw()
    assert it.dead


def test_memory_on_its_stack_can_be_written_while_it_is_parked() -> None:
    printed = lines("""
# qsort() merges a small array on its own stack, and gives addresses there to the callback, which parks.
libc = ctypes.CDLL(None)
COMPARE = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
places = []
def body():
    print(pin())
    on_stack = (ctypes.c_int * 4)(4, 3, 2, 1)
    @COMPARE
    def compare(one, other):
        places.append(one)
        park()
        return ctypes.c_int.from_address(one).value - ctypes.c_int.from_address(other).value
    libc.qsort(on_stack, 4, 4, compare)
    unpin()
    return list(on_stack)
it = greenlet(body)
it.switch()
many = crowd(100)
print(counts()["copied_out"] > 0)
result = None
while not it.dead:
    for other in many:
        other.switch()
    result = it.switch()
print(result)
""")
    assert printed == ["True", "True", "[1, 2, 3, 4]"]


def test_its_slice_is_never_copied_out() -> None:
    printed = lines("""
def body():
    pinned = pin()
    for n in range(5):
        park(pinned)
    unpin()
first = greenlet(body)
print(first.switch())
many = crowd(200)
before = counts()["copied_out"]
for _ in range(5):
    for it in many:
        it.switch()
    many = crowd(200)
    first.switch()
print(first.dead)
""")
    assert printed == ["True", "True"]


def test_one_that_shares_its_stack_already_is_told_so() -> None:
    printed = lines("""
answers = []
def body():
    park()
    answers.append(pin())
many = [greenlet(body) for _ in range(200)]
for it in many:
    it.switch()
for it in many:
    it.switch()
print(answers.count(True) < 20, answers.count(False) > 150, len(answers))
""")
    assert printed == ["True True 200"]


def test_an_overflow_stack_with_a_pinned_tenant_is_shared_with_nobody() -> None:
    printed = lines("""
def body():
    pinned = pin()
    park(pinned)
    return pinned
pinned = [greenlet(body) for _ in range(10)]
print([it.switch() for it in pinned] == [True] * 10)
many = crowd(200)
for it in many:
    it.switch()
print([it.switch() for it in pinned] == [True] * 10)
""")
    assert printed == ["True", "True"]
