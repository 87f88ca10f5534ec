"""Interrupting: the wait of a parked greenlet ends with an exception, in its turn, and it stands in no queue then."""

import os
from collections.abc import Callable
from typing import Any

import pytest

from gossamer._core import (
    GreenletExit,
    GreenThread,
    WaitQueue,
    get_hub,
    getcurrent,
    greenlet,
    interrupt,
    sleep,
    spawn,
    wait_read,
)
from tests.support.children import output_of
from tests.support.runtime import PRELUDE, in_thread, joined, reported, turns, until

READING, WRITING = os.pipe()
QUEUE = WaitQueue()
WAITS: dict[str, Callable[[], object]] = {
    "queue": QUEUE.park,
    "queue with timeout": lambda: QUEUE.park(3600),
    "sleep": lambda: sleep(3600),
    "turn": lambda: sleep(0),
    "descriptor": lambda: wait_read(READING),
    "descriptor with timeout": lambda: wait_read(READING, 3600),
    "join": lambda: GreenThread(int).join(),
    "join with timeout": lambda: GreenThread(int).join(3600),
    "hub": lambda: get_hub().switch(),
}


class Fault(Exception):
    """An exception that nothing else raises."""


def catching(wait: Callable[[], object], caught: list[BaseException]) -> GreenThread:
    """A green thread, already waiting, that keeps what ends its wait and waits twice more."""

    def body() -> str:
        try:
            wait()
        except Fault as fault:
            caught.append(fault)
        turns(2)
        return "went on"

    it = spawn(body)
    sleep(0)
    return it


@pytest.mark.parametrize("name", WAITS)
@pytest.mark.parametrize("from_thread", [False, True], ids=["same thread", "other thread"])
def test_every_wait_can_be_interrupted(name: str, from_thread: bool) -> None:
    caught: list[BaseException] = []
    fault = Fault()
    it = catching(WAITS[name], caught)
    answer = in_thread(lambda: interrupt(it, fault)) if from_thread else interrupt(it, fault)
    assert answer is True and caught == []
    assert len(QUEUE) == 0
    assert joined(it) == ["went on"]
    assert caught == [fault] and caught[0] is fault


def test_interrupted_ones_go_on_in_turn() -> None:
    order: list[int] = []

    def body(number: int) -> None:
        try:
            sleep(3600)
        except Fault:
            order.append(number)

    crowd = [spawn(body, number) for number in range(5)]
    sleep(0)
    for number in (3, 1, 4, 0, 2):
        interrupt(crowd[number], Fault())
    assert order == []
    joined(*crowd)
    assert order == [3, 1, 4, 0, 2]


def test_the_last_of_several_interrupts_is_raised() -> None:
    caught: list[BaseException] = []
    it = catching(QUEUE.park, caught)
    faults = [Fault(number) for number in range(3)]
    assert [interrupt(it, fault) for fault in faults] == [True] * 3
    joined(it)
    assert caught == faults[-1:]


def test_one_unparked_but_not_yet_running_can_be_interrupted() -> None:
    caught: list[BaseException] = []
    it = catching(QUEUE.park, caught)
    assert QUEUE.unpark() == 1
    assert interrupt(it, Fault())
    joined(it)
    assert len(caught) == 1


def test_one_that_was_not_begun_fails_without_running() -> None:
    ran: list[int] = []
    fault = Fault()
    with reported() as reports:
        it, ended = spawn(ran.append, 1), spawn(ran.append, 2)
        assert interrupt(it, fault) and interrupt(ended, GreenletExit("early"))
        joined(it, ended)
    assert ran == [] and it.exception is fault and [report.value for report in reports] == [fault]
    assert isinstance(ended.value, GreenletExit) and ended.successful()


def test_who_does_not_wait_is_not_interrupted() -> None:
    ended = spawn(int)
    joined(ended)
    raw = greenlet(lambda: getcurrent().parent.switch())  # type: ignore[union-attr]
    raw.switch()
    for it in (getcurrent(), get_hub(), ended, GreenThread(int), greenlet(int), raw):
        assert interrupt(it, Fault()) is False
    raw.switch()


def test_one_inside_its_own_wait_cannot_interrupt_itself() -> None:
    assert joined(spawn(lambda: interrupt(getcurrent(), Fault()))) == [False]


def test_raw_and_main_greenlets_are_interrupted_like_others() -> None:
    caught: list[object] = []
    main = getcurrent()

    def body() -> None:
        try:
            sleep(3600)
        except Fault as fault:
            caught.append(fault.args[0])

    def outer() -> None:
        raw = greenlet(body)
        raws.append(raw)
        raw.switch()

    raws: list[greenlet] = []
    it = spawn(outer)
    sleep(0)
    spawn(lambda: (interrupt(raws[0], Fault("raw")), interrupt(main, Fault("main"))))
    with pytest.raises(Fault, match="main"):
        sleep(3600)
    joined(it)
    assert caught == ["raw"]


@pytest.mark.parametrize("values", [(), (5,), ("x", Fault()), (None, Fault())], ids=["none", "one", "text", "None"])
def test_bad_arguments_are_refused(values: tuple[Any, ...]) -> None:
    with pytest.raises(TypeError):
        interrupt(*values)


@pytest.mark.parametrize("exception", [Fault, "text", None], ids=["class", "text", "None"])
def test_what_is_no_exception_instance_is_refused(exception: Any) -> None:
    it = spawn(sleep, 0.001)
    sleep(0)
    with pytest.raises(TypeError, match="exception instance"):
        interrupt(it, exception)
    joined(it)


def test_an_interrupt_may_be_ignored_and_the_wait_begun_again() -> None:
    count: list[int] = []

    def body() -> bool:
        while True:
            try:
                return QUEUE.park()
            except Fault:
                count.append(1)

    it = spawn(body)
    for _ in range(10):
        sleep(0)
        assert interrupt(it, Fault())
    sleep(0)
    QUEUE.unpark()
    assert joined(it) == [True]
    assert len(count) == 10 and len(QUEUE) == 0


def test_an_interrupt_of_another_thread_wakes_a_sleeping_hub() -> None:
    import threading

    main = getcurrent()
    answers: list[bool] = []
    begun: list[bool] = []

    def work() -> None:
        while not (answers and answers[-1]):
            if begun:
                answers.append(interrupt(main, Fault("from the thread")))

    threading.Thread(target=work).start()

    def sleeps() -> None:
        begun.append(True)
        sleep(60)

    with pytest.raises(Fault, match="from the thread"):
        sleeps()
    until(lambda: answers and answers[-1])


def test_the_traceback_leads_from_where_it_waited() -> None:
    import traceback

    def waits_here() -> None:
        sleep(3600)

    with reported():
        it = spawn(waits_here)
        sleep(0)
        interrupt(it, Fault())
        joined(it)
    assert it.exception is not None
    assert [frame.name for frame in traceback.extract_tb(it.exception.__traceback__)] == ["waits_here"]


# A green thread ends, and what it leaves waits in its destructor, on the stack of whoever runs next: `victim`.
LEFT_BEHIND = (
    PRELUDE
    + """
said = []
sys.unraisablehook = lambda unraisable: said.append('told')

class Slow:
    def __del__(self):
        said.append('destructor')
        for _ in range(waits):
            strike()
            sleep(patience(30))

class Leaver(GreenThread):
    pass

leaver = Leaver(lambda: None)
leaver.left = Slow()
"""
)


def test_a_kill_that_strikes_in_a_destructor_of_another_ends_a_green_thread_before_its_first_turn() -> None:
    child = """
waits = 1
strike = lambda: spawn(_core.throw_into, victim, GreenletExit('killed'))
leaver.start()
victim = spawn(said.append, 'ran')
del leaver
joined(victim)
print(said, repr(victim.value))
"""
    assert output_of(LEFT_BEHIND + child) == "['destructor', 'told'] GreenletExit('killed')\n"


def test_a_kill_that_strikes_in_a_destructor_of_another_ends_the_wait_of_whoever_runs_it() -> None:
    child = """
waits = 1
strike = lambda: spawn(_core.throw_into, victim, GreenletExit('killed'))

def body():
    sleep(0)
    said.append('ran')

victim = spawn(body)
leaver.start()
del leaver
joined(victim)
print(said, repr(victim.value))
"""
    assert output_of(LEFT_BEHIND + child) == "['destructor', 'told'] GreenletExit('killed')\n"


def test_each_interrupt_that_strikes_in_a_destructor_of_another_is_raised_where_it_is_meant() -> None:
    child = """
waits = 1
strike = lambda: spawn(_core.throw_into, victim, errors.pop(0))
errors = [KeyError(1), KeyError(2)]
Slow.__del__ = lambda self: [wait() for _ in range(2)]

def wait():
    strike()
    try:
        sleep(patience(30))
    except KeyError as error:
        said.append(('destructor', error.args[0]))

def body():
    for _ in range(2):
        try:
            sleep(0)
            sleep(patience(30))
        except KeyError as error:
            said.append(('victim', error.args[0]))

victim = spawn(body)
leaver.start()
del leaver
joined(victim)
print(said)
"""
    assert output_of(LEFT_BEHIND + child) == "[('destructor', 1), ('destructor', 2), ('victim', 1), ('victim', 2)]\n"
