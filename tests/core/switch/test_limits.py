"""Limits of the machine: little address space, few mappings, small stacks, no memory.

Fewer stacks of their own for greenlets is the only consequence as long as anything is left; where nothing is,
MemoryError is raised and what exists goes on. Never a crash where CPython itself would not crash. Cases are children.
"""

import resource

import pytest

from gossamer.switching import getcurrent, greenlet
from tests.support.children import output_of
from tests.support.greenlets import to_parent
from tests.support.memory import limits_address_space

PRELUDE = """
import gc, mmap, resource, sys, threading
from gossamer.switching import GreenletExit, getcurrent, greenlet
from tests.support.greenlets import below, below_c, ended, parked, to_parent
main = getcurrent()

def mapped():
    with open('/proc/self/statm') as statm:
        return int(statm.read().split()[0]) * resource.getpagesize()

def limit(size):
    resource.setrlimit(resource.RLIMIT_AS, (size, resource.RLIM_INFINITY))

def body(number, depth):
    local = [number]
    received = below_c(depth, to_parent)
    assert local == [number]
    return received + number

def crowd_works(count, depth=3):
    "Park `count` greenlets, resume each in turn, and insist on what they return."
    crowd = [greenlet(body) for _ in range(count)]
    for number, it in enumerate(crowd):
        it.switch(number, depth)
    assert [it.switch(1) for it in crowd] == list(range(1, count + 1))
    assert all(it.dead for it in crowd)
"""


@limits_address_space
@pytest.mark.parametrize(("spare", "count"), [(16, 200), (64, 1000), (300, 1000), (2000, 1000)])
def test_little_address_space_leaves_every_greenlet_working(spare: int, count: int) -> None:
    out = output_of(
        PRELUDE
        + """
limit(mapped() + int(sys.argv[1]) * 1048576)
crowd_works(int(sys.argv[2]))
crowd_works(50, depth=20)
print('all worked')
""",
        str(spare),
        str(count),
    )
    assert out == "all worked\n"


@limits_address_space
def test_a_limit_that_was_there_before_the_import_leaves_every_greenlet_working() -> None:
    out = output_of(
        "import resource; resource.setrlimit(resource.RLIMIT_AS, (400 << 20, resource.RLIM_INFINITY))\n"
        + PRELUDE
        + """
crowd_works(1000)
thread = threading.Thread(target=crowd_works, args=(100,))
thread.start()
thread.join()
print('all worked')
"""
    )
    assert out == "all worked\n"


@limits_address_space
def test_without_address_space_a_first_greenlet_raises_memoryerror_or_runs() -> None:
    out = output_of(
        PRELUDE
        + """
it = greenlet(lambda: 42)
limit(mapped() + 65536)
try:
    outcome = it.switch()
except MemoryError:
    outcome = 'MemoryError'
limit(resource.RLIM_INFINITY)
again = greenlet(lambda: 42).switch() if it.dead else it.switch()
print(outcome in (42, 'MemoryError'), again)
"""
    )
    assert out == "True 42\n"


@pytest.mark.beyond_greenlet
@limits_address_space
def test_without_memory_for_more_greenlets_the_existing_ones_go_on() -> None:
    out = output_of(
        PRELUDE
        + """
first = [greenlet(body) for _ in range(20)]
for number, it in enumerate(first):
    it.switch(number, 3)
limit(mapped() + 30 * 1048576)
crowd = []
try:
    while len(crowd) < 200_000:
        it = greenlet(body)
        it.switch(len(crowd), 10)
        crowd.append(it)
    outcome = 'no end'
except MemoryError:
    outcome = 'MemoryError'
limit(resource.RLIM_INFINITY)
print(outcome)
assert [it.switch(1) for it in first] == list(range(1, 21))
assert [it.switch(1) for it in crowd] == list(range(1, len(crowd) + 1))
crowd_works(100)
print('went on')
""",
        seconds=120,
    )
    assert out == "MemoryError\nwent on\n"


@limits_address_space
def test_address_space_that_comes_back_is_used_again() -> None:
    out = output_of(
        PRELUDE
        + """
limit(mapped() + 32 * 1048576)
crowd_works(300)
limit(resource.RLIM_INFINITY)
crowd_works(1000)
limit(mapped() + 32 * 1048576)
crowd_works(1000)
print('all worked')
"""
    )
    assert out == "all worked\n"


@pytest.mark.parametrize("left", [10, 60, 300])
def test_few_mappings_leave_every_greenlet_working(left: int) -> None:
    with open("/proc/sys/vm/max_map_count") as file:
        most = int(file.read())
    if most > 200_000:
        pytest.skip(f"vm.max_map_count is {most}: using that many mappings up would take too long")
    out = output_of(
        PRELUDE
        + """
crowd_works(10)
most, left = int(sys.argv[1]), int(sys.argv[2])
with open('/proc/self/maps') as maps:
    present = sum(1 for _ in maps)
fillers = []
try:
    for number in range(most - present - left):
        protection = mmap.PROT_READ | (mmap.PROT_WRITE if number % 2 else 0)
        fillers.append(mmap.mmap(-1, 4096, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=protection))
except OSError:
    del fillers[-left:]
crowd_works(500)
print('all worked')
""",
        str(most),
        str(left),
    )
    assert out == "all worked\n"


@pytest.mark.parametrize("size", [512 << 10, 1 << 20, resource.RLIM_INFINITY], ids=["512 KiB", "1 MiB", "unlimited"])
def test_the_limit_on_the_threads_own_stack_does_not_matter(size: int) -> None:
    hard = resource.getrlimit(resource.RLIMIT_STACK)[1]
    if size == resource.RLIM_INFINITY and hard != size:
        pytest.skip(f"the hard limit on the stack is {hard} bytes")
    out = output_of(
        """
import os, resource, sys
size = int(sys.argv[1])
if len(sys.argv) == 2:
    resource.setrlimit(resource.RLIMIT_STACK, (size, resource.getrlimit(resource.RLIMIT_STACK)[1]))
    os.execv(sys.executable, [sys.executable, '-c', os.environ['PROGRAM'], str(size), 'limited'])
""",
        str(size),
        environment={
            "PROGRAM": PRELUDE
            + """
crowd_works(300)
crowd_works(20, depth=50)
thread = threading.Thread(target=crowd_works, args=(50,))
thread.start()
thread.join()
print('all worked')
"""
        },
    )
    assert out == "all worked\n"


@pytest.mark.beyond_greenlet
def test_a_small_stack_of_a_thread_does_not_limit_its_greenlets() -> None:
    out = output_of(
        PRELUDE
        + """
threading.stack_size(128 << 10)
def work():
    assert greenlet(lambda: below_c(60, lambda: 'deep')).switch() == 'deep'
    crowd_works(100)
    print('all worked')
thread = threading.Thread(target=work)
thread.start()
thread.join()
"""
    )
    assert out == "all worked\n"


def test_a_hundred_thousand_python_frames_fit_in_a_greenlet() -> None:
    out = output_of(
        PRELUDE
        + """
sys.setrecursionlimit(1_000_000)
def down(left):
    return down(left - 1) + 1 if left else to_parent('at the bottom')
crowd = [greenlet(down) for _ in range(3)]
assert [it.switch(100_000) for it in crowd] == ['at the bottom'] * 3
gc.collect()
crowd_works(100)
assert crowd[0].switch(0) == 100_000
try:
    crowd[1].throw(LookupError)
except LookupError:
    assert crowd[1].dead
crowd.clear()
gc.collect()
print('unwound')
""",
        seconds=120,
    )
    assert out == "unwound\n"


def test_a_long_life_in_a_single_greenlet_uses_no_more_stack() -> None:
    def body() -> int:
        total = 0
        for _ in range(20_000):
            total += to_parent()
        return total

    it = greenlet(body)
    it.switch()
    for _ in range(19_999):
        it.switch(1)
    assert it.switch(1) == 20_000
    assert getcurrent().parent is None
