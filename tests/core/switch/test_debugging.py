"""`counts()` and `stacks()`: what a debugger, a leak test and a status page ask.

counts: "alive" (started, not ended, mains not included), "parked" (alive and not running), "leaked" (refused to die, or
freed with their thread gone), "slots" (stacks mapped), "copied_out" (slices of a stack that are in the heap now).
stacks: every started, unfinished greenlet of all threads, with its Python stack, oldest frame first.
"""

import gc
import threading
import traceback

import pytest

from gossamer import switching
from gossamer.switching import getcurrent, greenlet
from tests.support.greenlets import below, ended, parked, to_parent

pytestmark = [pytest.mark.beyond_greenlet, pytest.mark.usefixtures("settled")]


def function_names(it: greenlet) -> list[str]:
    """The functions on the stack of `it`, oldest first."""
    return [frame.name for frame in switching.stacks()[it]]


def test_counts_are_whole_numbers_under_five_names() -> None:
    counts = switching.counts()
    assert set(counts) == {"alive", "parked", "leaked", "slots", "copied_out"}
    assert all(type(value) is int and value >= 0 for value in counts.values())


def test_a_greenlet_is_alive_from_its_start_to_its_end() -> None:
    before = switching.counts()["alive"]
    it = greenlet(lambda: to_parent(switching.counts()["alive"]))
    assert switching.counts()["alive"] == before
    assert it.switch() == before + 1
    assert switching.counts()["alive"] == before + 1
    it.switch()
    assert switching.counts()["alive"] == before


def test_a_greenlet_is_parked_while_it_is_alive_and_another_runs() -> None:
    before = switching.counts()["parked"]
    it = greenlet(lambda: to_parent(switching.counts()["parked"]))
    assert it.switch() == before
    assert switching.counts()["parked"] == before + 1
    it.throw()
    assert switching.counts()["parked"] == before


def test_a_greenlet_that_switched_to_its_child_is_parked() -> None:
    before = switching.counts()
    inner = greenlet(lambda: switching.counts())
    seen = greenlet(inner.switch).switch()
    assert seen["alive"] == before["alive"] + 2
    assert seen["parked"] == before["parked"] + 1


def test_unreachable_greenlets_are_no_longer_counted() -> None:
    before = switching.counts()["alive"]
    crowd = [parked() for _ in range(10)]
    assert switching.counts()["alive"] == before + 10
    crowd.clear()
    assert switching.counts()["alive"] == before


def test_greenlets_of_every_thread_are_counted() -> None:
    before = switching.counts()["alive"]
    ready, over = threading.Event(), threading.Event()

    def work() -> None:
        crowd = [parked() for _ in range(5)]
        ready.set()
        over.wait(60)
        del crowd

    thread = threading.Thread(target=work)
    thread.start()
    assert ready.wait(60)
    assert switching.counts()["alive"] == before + 5
    over.set()
    thread.join()
    assert switching.counts()["alive"] == before


def test_the_stack_of_the_running_main_greenlet_is_in_the_stacks() -> None:
    assert function_names(getcurrent())[-2:] == [
        "test_the_stack_of_the_running_main_greenlet_is_in_the_stacks",
        "function_names",
    ]


def test_the_stack_of_a_parked_greenlet_reads_oldest_first() -> None:
    it = parked(lambda: below(2, to_parent))
    assert function_names(it) == ["<lambda>", "below", "below", "below", "to_parent"]


def test_the_stack_of_a_running_greenlet_reads_oldest_first() -> None:
    it = greenlet(lambda: below(2, lambda: function_names(getcurrent())))
    assert it.switch() == ["<lambda>", "below", "below", "below", "<lambda>", "function_names"]


def test_entries_name_file_and_line() -> None:
    it = parked(lambda: to_parent())
    entry = switching.stacks()[it][0]
    assert entry.filename == __file__
    assert entry.lineno is not None
    assert entry.line == "it = parked(lambda: to_parent())"


def test_a_stack_can_be_formatted_as_a_traceback_is() -> None:
    it = parked(lambda: below(1, to_parent))
    text = "".join(traceback.format_list(switching.stacks()[it]))
    assert text.count("in below") == 2


def test_unstarted_and_dead_greenlets_are_not_in_the_stacks() -> None:
    stacks = switching.stacks()
    assert greenlet(int) not in stacks
    assert ended() not in stacks


def test_the_main_greenlet_is_in_the_stacks_while_another_runs() -> None:
    main = getcurrent()
    seen = greenlet(lambda: [frame.name for frame in switching.stacks()[main]]).switch()
    assert seen[-1] == "test_the_main_greenlet_is_in_the_stacks_while_another_runs"


def test_greenlets_of_every_thread_are_in_the_stacks() -> None:
    ready, over = threading.Event(), threading.Event()
    made: list[greenlet] = []

    def wait_here() -> None:
        ready.set()
        over.wait(60)

    def work() -> None:
        made.append(getcurrent())
        made.append(parked(lambda: below(1, to_parent)))
        made.append(greenlet(wait_here))
        made[2].switch()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        assert ready.wait(60)
        stacks = switching.stacks()
        assert [frame.name for frame in stacks[made[0]]][-1] == "work"
        assert [frame.name for frame in stacks[made[1]]] == ["<lambda>", "below", "below", "to_parent"]
        assert stacks[made[2]][0].name == "wait_here"
    finally:
        over.set()
        thread.join()
    made.clear()


def test_the_stacks_keep_nothing_alive() -> None:
    before = switching.counts()["alive"]
    it = parked(lambda: below(5, to_parent))
    switching.stacks()
    del it
    gc.collect()
    assert switching.counts()["alive"] == before


def test_the_stacks_of_thousands_of_greenlets_are_all_there() -> None:
    crowd = [parked(lambda: below(3, to_parent)) for _ in range(2000)]
    stacks = switching.stacks()
    assert all(len(stacks[it]) == 6 for it in crowd)
