"""Stacks: thousands of greenlets, more than have a stack of their own, with all their data safe, and memory given back.

Latecomers share overflow slots: what they use of a stack is copied to the heap and back. Whatever a C frame, a Python
frame or a kept frame object refers to must be there again afterwards. Memory bounds are generous: they find what grows
with use, not what is a little larger.
"""

import ctypes
import gc
import platform
import random
import sys
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Any

import pytest

from gossamer import switching
from gossamer.switching import getcurrent, greenlet
from tests.support.children import output_of
from tests.support.greenlets import below, below_c, parked, to_parent
from tests.support.memory import least_growth, resident_bytes
from tests.support.sanitizers import measures_memory
from tests.support.scale import scaled

pytestmark = pytest.mark.usefixtures("settled")

MEGABYTE = 1_000_000

MEASURE = """
import ctypes, gc, sys
from gossamer.switching import greenlet, getcurrent
from tests.support.greenlets import below, below_c, parked, to_parent
from tests.support.memory import resident_bytes

def use_stack(size):
    "Use about `size` bytes of C stack: a structure passed by value is copied there twice."
    class Large(ctypes.Structure):
        _fields_ = [("bytes", ctypes.c_char * (size // 2))]
    ctypes.pythonapi.Py_IsInitialized.argtypes = None
    return ctypes.pythonapi.Py_IsInitialized(Large())
"""


def body_with_data(number: int, depth: int) -> None:
    """Keeps values in locals, in a cell and on the evaluation stack, and checks them whenever it is resumed."""
    values = list(range(number, number + 5))
    word = f"greenlet {number}"

    def check() -> str:
        assert values == list(range(number, number + 5))
        return word

    def park() -> None:
        received = ("before", number, to_parent(number), "after", *values)
        assert received == ("before", number, received[2], "after", *values)
        assert received[2] in (None, number * 2)

    for round_ in range(100):
        if round_ % 2:
            below_c(depth, park)
        else:
            below(depth * 3, park)
        assert check() == f"greenlet {number}"


def test_thousands_of_parked_greenlets_keep_their_data_in_any_order_of_switches() -> None:
    shuffle = random.Random(20261123)
    crowd = [(number, greenlet(body_with_data)) for number in range(scaled(3000, least=1000))]
    for number, it in crowd:
        assert it.switch(number, number % 4) == number
    for _ in range(3):
        shuffle.shuffle(crowd)
        for number, it in crowd:
            assert it.switch(number * 2) == number
    for number, it in crowd[::2]:
        assert it.switch(None) == number
    gc.collect()
    for number, it in reversed(crowd):
        assert it.switch(number * 2) == number


@pytest.mark.beyond_greenlet
def test_more_greenlets_than_slots_are_copied_out_and_counted() -> None:
    crowd = [parked() for _ in range(3000)]
    counts = switching.counts()
    assert counts["alive"] >= 3000
    assert counts["slots"] < 3000
    assert counts["copied_out"] >= 3000 - counts["slots"]
    crowd.clear()
    gc.collect()
    assert switching.counts()["copied_out"] == 0


@pytest.mark.beyond_greenlet
@pytest.mark.parametrize(("park", "stacks"), [("parked()", range(128, 200)), ("parked(nested)", range(300, 520))])
def test_a_crowd_shares_stacks_unless_it_uses_more_than_a_little_of_them(park: str, stacks: range) -> None:
    slots = output_of(
        f"""
from gossamer import switching
from tests.support.greenlets import below_c, parked, to_parent
def nested():
    below_c(2, to_parent)
crowd = [{park} for _ in range(1000)]
print(switching.counts()["slots"])
""",
        environment={"GOSSAMER_STACKS": ""},
    )
    assert int(slots) in stacks


def test_hundreds_of_greenlets_deep_in_c_calls_keep_their_data() -> None:
    def body(number: int) -> int:
        def work() -> int:
            return int(to_parent(number)) + number

        return int(below_c(30, work))

    crowd = [greenlet(body) for _ in range(scaled(600, least=400))]
    for number, it in enumerate(crowd):
        assert it.switch(number) == number
    for number, it in reversed(list(enumerate(crowd))):
        assert it.switch(1) == number + 1
        assert it.dead


def test_hundreds_of_greenlets_deep_in_python_calls_keep_their_data() -> None:
    def down(left: int, number: int) -> int:
        mine = (left, number)
        result = down(left - 1, number) if left else int(to_parent(number))
        assert mine == (left, number)
        return result + 1

    crowd = [greenlet(partial(down, 300)) for _ in range(scaled(500, least=300))]
    for number, it in enumerate(crowd):
        assert it.switch(number) == number
    gc.collect()
    for number, it in enumerate(crowd):
        assert it.switch(number) == number + 301


def test_a_greenlet_grows_and_shrinks_while_hundreds_are_parked() -> None:
    crowd = [parked(lambda: below_c(5, to_parent)) for _ in range(700)]

    def body() -> list[object]:
        seen: list[object] = []
        for depth in (0, 40, 5, 60, 1, 30):
            seen.append(below_c(depth, partial(to_parent, depth)))
            for other in crowd[depth::70]:
                other.parent = getcurrent()
                assert below(depth, partial(other.switch, "poke")) == "poke"
        return seen

    it = greenlet(body)
    assert it.switch() == 0
    for answer, depth in (("a", 40), ("b", 5), ("c", 60), ("d", 1), ("e", 30)):
        assert it.switch(answer) == depth
    assert it.switch("f") == ["a", "b", "c", "d", "e", "f"]


def names(frame: FrameType | None) -> list[str]:
    """The function names from `frame` outwards."""
    found = []
    while frame is not None:
        found.append(frame.f_code.co_name)
        frame = frame.f_back
    return found


def test_kept_frames_read_right_while_their_greenlets_are_copied_out() -> None:
    def inner() -> object:
        return to_parent(sys._getframe())

    def body(depth: int) -> object:
        return below_c(depth, inner)

    crowd = [greenlet(body) for _ in range(1500)]
    kept = [it.switch(number % 5) for number, it in enumerate(crowd)]
    expected = [
        ["inner", *["key", "below_c"] * depth, *(["below_c"] if not depth else []), "body"] for depth in range(5)
    ]
    for round_ in range(2):
        for number, frame in enumerate(kept):
            assert names(frame) == expected[number % 5], (round_, number)
        gc.collect()
    for number, it in enumerate(crowd):
        assert names(crowd[-number].gr_frame)[:2] == ["to_parent", "inner"] or crowd[-number].dead
        assert it.switch(number) == number
    for number, frame in enumerate(kept):
        assert names(frame) == expected[number % 5]


def test_the_frames_of_the_running_greenlet_read_right_after_it_was_copied_in() -> None:
    def body(depth: int) -> list[list[str]]:
        def look() -> list[str]:
            to_parent()
            return names(sys._getframe())

        return [below_c(depth, look) for _ in range(3)]

    crowd = [greenlet(body) for _ in range(1000)]
    for number, it in enumerate(crowd):
        it.switch(number % 4)
    for _ in range(2):
        for it in crowd:
            it.switch()
    for number, it in enumerate(crowd):
        expected = [
            "look",
            *["key", "below_c"] * (number % 4),
            *([] if number % 4 else ["below_c"]),
            "<listcomp>",
            "body",
        ]
        for seen in it.switch():
            assert [name for name in seen if name != "<listcomp>"] == [
                name for name in expected if name != "<listcomp>"
            ]


def test_exceptions_unwind_greenlets_that_were_copied_out() -> None:
    seen: list[int] = []

    def body(number: int) -> None:
        try:
            below_c(number % 6, to_parent)
        except LookupError as fault:
            seen.append(fault.args[0] - number)
            raise

    crowd = [greenlet(body) for _ in range(1500)]
    for number, it in enumerate(crowd):
        it.switch(number)
    for number, it in enumerate(crowd):
        with pytest.raises(LookupError):
            it.throw(LookupError(number))
        assert it.dead
    assert seen == [0] * 1500


def test_dropping_greenlets_that_were_copied_out_ends_them() -> None:
    ends = [0]

    def body(number: int) -> None:
        local = [number]
        try:
            below_c(number % 4, to_parent)
        finally:
            assert local == [number]
            ends[0] += 1

    crowd = [greenlet(body) for _ in range(2000)]
    for number, it in enumerate(crowd):
        it.switch(number)
    del it
    random.Random(1).shuffle(crowd)
    while crowd:
        crowd.pop()
    assert ends == [2000]


def test_greenlets_copied_out_can_switch_to_each_other_directly() -> None:
    crowd: list[greenlet] = []
    main = getcurrent()

    def body(place: int) -> None:
        token = main.switch()
        while True:
            local = [place, token]
            if place + 1 < len(crowd):
                token = below_c(place % 3, partial(crowd[place + 1].switch, token + 1))
            else:
                token = main.switch(token)
            assert local[0] == place

    crowd.extend(greenlet(body) for _ in range(1500))
    for place, it in enumerate(crowd):
        it.switch(place)
    assert crowd[0].switch(0) == 1499
    assert crowd[0].switch(10) == 1509


def test_floating_point_state_belongs_to_the_greenlet() -> None:
    library = ctypes.CDLL("libm.so.6")
    nearest = library.fegetround()
    upward = 0x800 if platform.machine() == "x86_64" else 0x400000

    def body() -> int:
        library.fesetround(upward)
        to_parent()
        return int(library.fegetround())

    it = parked(body)
    assert library.fegetround() == nearest
    assert it.switch() == upward
    assert library.fegetround() == nearest


def grown(work: str) -> int:
    """The growth of a child's resident memory over `work`, in bytes, as printed by it."""
    return int(output_of(MEASURE + work).split()[-1])


@measures_memory
def test_parked_greenlets_take_a_few_kilobytes_each() -> None:
    count = scaled(10_000, least=2000)
    growth = grown(
        f"""
warm = [parked() for _ in range(1000)]
warm.clear()
before = resident_bytes()
crowd = [parked() for _ in range({count})]
print(resident_bytes() - before)
"""
    )
    assert growth < count * 10_000 + 20 * MEGABYTE


@measures_memory
def test_memory_is_given_back_when_thousands_of_greenlets_end() -> None:
    growth = grown(
        """
def round():
    crowd = [parked(lambda: below_c(10, to_parent)) for _ in range(2000)]
    for it in crowd:
        it.switch()
for _ in range(2):
    round()
before = resident_bytes()
for _ in range(4):
    round()
gc.collect()
print(resident_bytes() - before)
"""
    )
    assert growth < 20 * MEGABYTE


@measures_memory
def test_memory_is_given_back_when_greenlets_that_used_much_stack_end() -> None:
    growth = grown(
        """
use_stack(1000)
before = resident_bytes()
crowd = [greenlet(lambda: (use_stack(5_000_000), to_parent())) for _ in range(50)]
for it in crowd:
    it.switch()
for it in crowd:
    it.switch()
assert all(it.dead for it in crowd)
del crowd, it
gc.collect()
print(resident_bytes() - before)
"""
    )
    assert growth < 20 * MEGABYTE


def test_greenlets_parked_on_much_used_stack_keep_their_data() -> None:
    out = output_of(
        MEASURE
        + """
sys.setrecursionlimit(2500)

def body(number):
    def work():
        use_stack(500_000)
        return to_parent(number) + number
    return below_c(100, work)

crowd = [greenlet(body) for _ in range(40)]
assert [it.switch(number) for number, it in enumerate(crowd)] == list(range(40))
assert [it.switch(1) for it in crowd] == list(range(1, 41))
print("right")
""",
    )
    assert out == "right\n"


def test_a_greenlet_has_as_much_stack_as_a_thread_needs() -> None:
    out = output_of(
        MEASURE
        + """
for _ in range(3):
    greenlet(lambda: use_stack(6_000_000)).switch()
print("enough")
""",
    )
    assert out == "enough\n"


@measures_memory
@pytest.mark.parametrize("make", [parked, lambda: parked(lambda: below_c(3, to_parent))], ids=["shallow", "in C calls"])
def test_creating_and_dropping_parked_greenlets_for_long_does_not_grow(make: Callable[[], Any]) -> None:
    def work() -> None:
        for _ in range(scaled(3000)):
            make()

    assert least_growth(work, resident_bytes) < MEGABYTE
