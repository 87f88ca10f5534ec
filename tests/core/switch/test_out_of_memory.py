"""No memory for what a switch needs: the switch raises MemoryError, and a greenlet that ends still reaches its parent.

Memory ends in a child process: the address space is limited to what is mapped, and the heap is filled.
"""

import pytest

from tests.support.children import output_of
from tests.support.memory import EXHAUSTION, limits_address_space


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
