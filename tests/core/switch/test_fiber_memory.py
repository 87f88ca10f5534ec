"""The memory of fibers: a crowd gives it back, and what is not given back is used again before more is taken."""

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
