"""Memory of fibers, of green threads too: a crowd gives it back; what is not given back is used again first."""

import random

import pytest

from gossamer.switching import greenlet
from tests.support.children import output_of
from tests.support.sanitizers import measures_memory
from tests.support.scale import scaled

pytestmark = pytest.mark.usefixtures("settled")

MEGABYTE = 1_000_000
ORDERS = {
    "the last one first": "while crowd: crowd.pop()",
    "the first one first": "crowd.reverse()\nwhile crowd: crowd.pop()",
}


@measures_memory
@pytest.mark.parametrize("drop", ORDERS.values(), ids=ORDERS)
def test_a_crowd_that_is_gone_leaves_no_memory_behind(drop: str) -> None:
    growth = output_of(
        f"""
from gossamer.switching import greenlet
from tests.support.memory import resident_bytes
def come_and_go():
    crowd = [greenlet() for _ in range(100_000)]
    inside = resident_bytes()
    {drop.replace(chr(10), chr(10) + "    ")}
    return inside
before = resident_bytes()
inside = come_and_go()
print(inside - before, resident_bytes() - before)
"""
    )
    inside, after = map(int, growth.split())
    assert inside > 30 * MEGABYTE
    assert after < inside / 2


@measures_memory
def test_crowds_that_go_in_any_order_need_no_more_memory_than_the_first() -> None:
    growth = output_of(
        """
import random
from gossamer.switching import greenlet
from tests.support.memory import least_growth, resident_bytes
random.seed(7)
def come_and_go():
    crowd = [greenlet() for _ in range(50_000)]
    random.shuffle(crowd)
    while crowd: crowd.pop()
print(least_growth(come_and_go, resident_bytes))
"""
    )
    assert int(growth) < MEGABYTE


def test_memory_that_some_gave_back_serves_others_beside_those_that_stay() -> None:
    chance = random.Random(11)
    crowd = [greenlet(lambda number=number: number) for number in range(scaled(20_000, least=2000))]
    numbers = list(range(len(crowd)))
    for _ in range(3):
        for place in chance.sample(range(len(crowd)), len(crowd) // 2):
            number = numbers[place] = chance.randrange(1 << 30)
            crowd[place] = greenlet(lambda number=number: number)
    assert [it.switch() for it in crowd] == numbers
    assert all(it.dead for it in crowd)


@measures_memory
def test_of_a_crowd_of_green_threads_no_more_is_kept_than_for_the_next_one() -> None:
    growth = output_of(
        """
from gossamer import _core
from tests.support.memory import resident_bytes
def come_and_go():
    crowd = [_core.GreenThread(int) for _ in range(400_000)]
    inside = resident_bytes()
    while crowd: crowd.pop()
    return inside
before = resident_bytes()
inside = come_and_go()
after = resident_bytes()
come_and_go()
print(inside - before, after - before, resident_bytes() - after)
"""
    )
    inside, after, again = map(int, growth.split())
    assert inside > 150 * MEGABYTE
    assert after < inside / 2
    assert again < 8 * MEGABYTE


def test_a_green_thread_that_has_changed_its_class_goes_like_any_other() -> None:
    out = output_of(
        """
import gc, weakref
import gossamer
class Other(gossamer.Greenlet):
    __slots__ = ()
def changed(number):
    it = gossamer.Greenlet(lambda: number)
    it.__class__ = Other
    return it
def born_so(number):
    it = Other(lambda: number)
    it.__class__ = gossamer.Greenlet
    return it
for _ in range(3):
    crowd = [make(number) for number in range(2000) for make in (changed, born_so)]
    last = weakref.ref(crowd[-1])
    for it in crowd[::2]:
        it.start()
    gossamer.joinall(crowd[::2])
    assert [it.value for it in crowd[::2]] == list(range(2000))
    del crowd, it
    gc.collect()
    assert last() is None
print(gossamer.spawn(lambda: 42).get())
"""
    )
    assert out == "42\n"
