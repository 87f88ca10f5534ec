"""No memory for what a switch needs: the switch raises MemoryError, and a greenlet that ends still reaches its parent.

Memory ends in a child process: the address space is limited to what is mapped, and the heap is filled.
"""

from pathlib import Path

import pytest

from tests.support.children import output_of
from tests.support.extensions import SOURCES, build, compiler_of
from tests.support.memory import EXHAUSTION, limits_address_space

DEEP = SOURCES / "deep.c"
# Parked greenlets of two kinds in the stacks that they share: shallow ones, copied out, and deep ones, there in their
# place, which use all of the stack but 40 KiB.
CROWD = """
import importlib.util
spec = importlib.util.spec_from_file_location("deep", sys.argv[1])
deep = importlib.util.module_from_spec(spec)
spec.loader.exec_module(deep)

def start(count, run):
    started = [greenlet(run) for _ in range(count)]
    for it in started:
        it.switch()
    return started

def start_deep():
    return start(16, lambda: deep.called((8 << 20) - (40 << 10), main.switch))
"""


@pytest.fixture(scope="module")
def deep_module(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The path of the extension module."""
    if compiler_of(DEEP) is None:
        pytest.skip("there is no C compiler")
    return str(build(DEEP, Path(), tmp_path_factory.mktemp("deep")))


@limits_address_space
@pytest.mark.parametrize("depth", [0, 10])
def test_a_greenlet_that_ends_reaches_its_parent(depth: int) -> None:
    printed = output_of(
        EXHAUSTION
        + """
depth = int(sys.argv[1])
COUNT = 60
def parent(n):
    value = nested(depth, lambda: main.switch())
    return main.switch((n, value))
def child(n):
    nested(depth, lambda: main.switch())
    return n
parents = [greenlet(parent) for n in range(COUNT)]
for n, it in enumerate(parents):
    it.switch(n)
children = [greenlet(child, parents[n]) for n in range(COUNT)]
for n, it in enumerate(children):
    it.switch(n)
assert counts()["copied_out"] > 0
results = [None] * COUNT
taken = exhaust()
for n in range(COUNT):
    try:
        results[n] = children[n].switch()
    except MemoryError:
        results[n] = "refused"
release(taken)
ended = [n for n in range(COUNT) if results[n] != "refused"]
print(len(ended) > 0, all(results[n] == (n, n) for n in ended))
for n in range(COUNT):
    if results[n] == "refused":
        results[n] = children[n].switch()
print(all(results[n] == (n, n) for n in range(COUNT)))
for it in parents:
    it.switch()
print(all(it.dead for it in parents + children), counts()["copied_out"])
again = [greenlet(child) for n in range(COUNT)]
for n, it in enumerate(again):
    it.switch(n)
print([it.switch() for it in again] == list(range(COUNT)))
""",
        str(depth),
        environment={"GOSSAMER_STACKS": "1"},
    )
    assert printed.splitlines() == ["True True", "True", "True 0", "True"]


@limits_address_space
def test_a_chain_of_greenlets_that_end_reaches_the_first() -> None:
    printed = output_of(
        EXHAUSTION
        + """
LENGTH = 30
def link():
    value = nested(5, lambda: main.switch())
    return value + 1
def chain():
    links = [greenlet(link) for _ in range(LENGTH)]
    for it, parent in zip(links, links[1:]):
        it.parent = parent
    for it in links:
        it.switch()
    return links
chains = [chain() for _ in range(10)]
results = []
taken = exhaust()
for links in chains:
    try:
        results.append(links[0].switch(0))
    except MemoryError:
        results.append(None)
release(taken)
print(any(results), {LENGTH} >= set(results) - {None})
print([links[0].switch(0) for links, result in zip(chains, results) if result is None] ==
      [LENGTH for result in results if result is None])
print(all(it.dead for links in chains for it in links), counts()["copied_out"])
""",
        environment={"GOSSAMER_STACKS": "1"},
    )
    assert printed.splitlines() == ["True True", "True", "True 0"]


@limits_address_space
def test_what_went_along_is_freed_with_a_greenlet_that_is_dropped_or_given_up() -> None:
    printed = output_of(
        EXHAUSTION
        + """
import gc, threading
COUNT = 60
def body():
    global main
    main = getcurrent()
    parents = [greenlet(lambda: nested(5, main.switch) and main.switch()) for _ in range(COUNT)]
    for it in parents:
        it.switch()
    children = [greenlet(lambda: nested(5, main.switch) or 1, it) for it in parents]
    for it in children:
        it.switch()
    taken = exhaust()
    for it in children:
        try:
            it.switch()
        except MemoryError:
            pass
    release(taken)
    kept.append(parents)
kept = []
for _ in range(3):
    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
gc.collect()
print(counts()["copied_out"], counts()["alive"])
""",
        environment={"GOSSAMER_STACKS": "1"},
    )
    assert printed.splitlines() == ["0 0"]


@limits_address_space
def test_an_end_whose_parent_has_no_room_is_a_memory_error_in_the_main_greenlet(deep_module: str) -> None:
    printed = output_of(
        EXHAUSTION
        + CROWD
        + """
first = greenlet(lambda: main.switch())
first.switch()
shallow = start(40, lambda: main.switch("parked") and main.switch())
deeper = start_deep()
taken = exhaust(2 << 20)
def resumed(it, value):
    try:
        return it.switch(value)
    except MemoryError:
        return "refused"
without_room = [it for it in shallow if resumed(it, True) == "refused"]
first.parent = without_room[0]
print(resumed(first, "lost"), first.dead, first.parent.dead)
release(taken)
for it in without_room:
    it.switch(True)
print([it.switch(7) for it in shallow] == [7] * 40, all(it.switch() == () for it in deeper))
print(all(it.dead for it in shallow + deeper), counts()["copied_out"])
""",
        deep_module,
        environment={"GOSSAMER_STACKS": "1"},
    )
    assert printed.splitlines() == ["refused True False", "True True", "True 0"]


@limits_address_space
def test_an_end_after_which_nobody_has_room_ends_the_wait_of_the_main_greenlet(deep_module: str) -> None:
    printed = output_of(
        EXHAUSTION
        + CROWD
        + """
import gossamer
from gossamer._core import WaitQueue
queue, gate = WaitQueue(), WaitQueue()
first = gossamer.spawn(gate.park)
gossamer.sleep(0)
jobs = [gossamer.spawn(queue.park) for _ in range(40)]
gossamer.sleep(0)
deeper = start_deep()
taken = exhaust(2 << 20)
gate.unpark(1)
queue.unpark(40)
try:
    ended = WaitQueue().park()
except MemoryError:
    ended = "refused"
release(taken)
print(ended, first.ready())
print(all(it.switch() == () for it in deeper))
gossamer.joinall(jobs)
print(all(job.value is True for job in jobs))
""",
        deep_module,
        environment={"GOSSAMER_STACKS": "2"},
    )
    assert printed.splitlines() == ["refused True", "True", "True"]
