"""Context variables: every greenlet runs in a context of its own, empty until something is set.

`gr_context` reads and replaces it in every state of the greenlet; None stands for "no context yet".
"""

import decimal
import gc
import sys
import threading
import weakref
from contextvars import Context, ContextVar, Token, copy_context
from typing import Any

import pytest

from gossamer.switching import getcurrent, greenlet
from tests.support.greenlets import ended, parked, to_parent

WORD: ContextVar[Any] = ContextVar("WORD", default=None)


@pytest.fixture(autouse=True)
def _every_test_has_the_word_to_itself() -> Any:
    token = WORD.set(None)
    yield
    WORD.reset(token)


def word_in(it: greenlet) -> Any:
    """The value of WORD in the context of a greenlet that has one."""
    assert it.gr_context is not None
    return it.gr_context[WORD]


def test_a_new_greenlet_does_not_see_the_variables_of_its_starter() -> None:
    WORD.set("starter")
    assert greenlet(WORD.get).switch() is None
    assert WORD.get() == "starter"


def test_what_a_greenlet_sets_stays_in_it() -> None:
    def body(value: int) -> list[object]:
        seen = []
        for step in range(3):
            WORD.set((value, step))
            to_parent()
            seen.append(WORD.get())
        return seen

    crowd = [greenlet(body) for _ in range(5)]
    for value, it in enumerate(crowd):
        it.switch(value)
    for _ in range(2):
        for it in crowd:
            it.switch()
            assert WORD.get() is None
    assert [it.switch() for it in crowd] == [[(value, step) for step in range(3)] for value in range(5)]


def test_a_given_context_is_the_one_the_greenlet_runs_in() -> None:
    WORD.set("given")
    it = greenlet(lambda: (WORD.get(), WORD.set("changed"), to_parent("parked"), WORD.get())[::3])
    it.gr_context = copy_context()
    assert it.switch() == "parked"
    assert WORD.get() == "given"
    assert it.gr_context[WORD] == "changed"
    assert it.switch() == ("given", "changed")


def test_two_greenlets_may_share_one_context() -> None:
    shared = Context()
    one, two = greenlet(lambda: WORD.set("from one")), greenlet(WORD.get)
    one.gr_context = two.gr_context = shared
    one.switch()
    assert two.switch() == "from one"
    assert shared[WORD] == "from one"


def test_a_greenlet_may_share_the_context_of_the_running_one() -> None:
    it = greenlet(lambda: WORD.set("set by the child"))
    it.gr_context = getcurrent().gr_context
    it.switch()
    assert WORD.get() == "set by the child"


def test_the_context_is_none_until_something_is_set() -> None:
    it = greenlet(lambda: (getcurrent().gr_context, WORD.set(1), word_in(getcurrent()))[::2])
    assert it.gr_context is None
    assert it.switch() == (None, 1)
    assert ended().gr_context is None
    assert parked().gr_context is None


def test_the_context_of_a_dead_greenlet_stays_readable_and_replaceable() -> None:
    it = ended(lambda: WORD.set("last word"))
    assert word_in(it) == "last word"
    other = Context()
    it.gr_context = other
    assert it.gr_context is other
    it.gr_context = None
    assert it.gr_context is None


def test_the_context_of_a_parked_greenlet_can_be_replaced() -> None:
    other = Context()
    other.run(WORD.set, "other")
    it = parked(lambda: (WORD.set("own"), to_parent(), WORD.get(), to_parent(), WORD.get())[2::2])
    it.gr_context = other
    it.switch()
    assert it.gr_context is other
    it.gr_context = None
    assert it.switch() == ("other", None)


def test_a_running_greenlet_can_replace_its_own_context() -> None:
    other = Context()
    other.run(WORD.set, "other")

    def body() -> list[object]:
        me, seen = getcurrent(), []
        WORD.set("own")
        own = me.gr_context
        me.gr_context = other
        seen.append(WORD.get())
        me.gr_context = None
        seen.append(WORD.get())
        seen.append(me.gr_context)
        me.gr_context = own
        seen.append(WORD.get())
        return seen

    assert greenlet(body).switch() == ["other", None, None, "own"]


def test_a_cached_value_is_never_that_of_another_greenlet() -> None:
    def body(value: int) -> None:
        WORD.set(value)
        while True:
            assert WORD.get() == value
            to_parent()

    crowd = [greenlet(body) for _ in range(3)]
    for value, it in enumerate(crowd):
        it.switch(value)
    WORD.set("main")
    for _ in range(50):
        for it in crowd:
            assert WORD.get() == "main"
            it.switch()


def test_leaving_context_run_restores_the_greenlets_own_context() -> None:
    def body() -> list[object]:
        seen: list[object] = []
        WORD.set("own")

        def inside() -> None:
            WORD.set("inner")
            to_parent()
            seen.append(WORD.get())

        copy_context().run(inside)
        seen.append(WORD.get())
        return seen

    one, two = greenlet(body), greenlet(body)
    one.switch()
    two.switch()
    assert one.switch() == two.switch() == ["inner", "own"]


def test_a_greenlet_may_run_wholly_inside_context_run() -> None:
    WORD.set("copied")
    it = greenlet(copy_context().run)
    assert it.switch(lambda: to_parent(WORD.get())) == "copied"
    assert WORD.get() == "copied"
    it.switch()
    assert it.dead


def test_a_context_that_is_entered_in_one_greenlet_cannot_be_entered_in_another() -> None:
    context = copy_context()
    inside = greenlet(context.run)
    inside.switch(to_parent)
    with pytest.raises(RuntimeError, match="already entered"):
        greenlet(context.run).switch(int)
    inside.switch()
    assert context.run(int) == 0


def test_a_token_is_good_only_in_the_context_it_came_from() -> None:
    token: Token[Any] = WORD.set("main")
    with pytest.raises(ValueError, match="different Context"):
        greenlet(lambda: WORD.reset(token)).switch()
    WORD.reset(token)
    assert WORD.get() is None


def test_the_decimal_precision_belongs_to_the_greenlet() -> None:
    def body() -> decimal.Decimal:
        decimal.getcontext().prec = 3
        to_parent()
        return decimal.Decimal(1) / 3

    it = parked(body)
    assert len(str(decimal.Decimal(1) / 3)) > 10
    assert it.switch() == decimal.Decimal("0.333")


def test_only_a_context_or_none_can_be_assigned() -> None:
    for it in (greenlet(), parked(), ended(), getcurrent()):
        with pytest.raises(TypeError, match=r"contextvars\.Context or None"):
            it.gr_context = {}  # type: ignore[assignment]


def test_the_context_cannot_be_deleted() -> None:
    for it in (greenlet(), parked(), ended(), getcurrent()):
        with pytest.raises(AttributeError, match="can't delete"):
            del it.gr_context


def test_the_context_of_a_greenlet_running_in_another_thread_is_out_of_reach() -> None:
    context = Context()
    running, look, seen = threading.Event(), threading.Event(), threading.Event()
    made: list[greenlet] = []
    results: list[object] = []

    def body() -> None:
        WORD.set(1)
        running.set()
        look.wait(60)
        to_parent()
        results.append(WORD.get())

    def work() -> None:
        it = greenlet(body)
        it.gr_context = context
        made.append(it)
        it.switch()
        look.clear()
        running.set()
        seen.wait(60)
        it.switch()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        assert running.wait(60)
        running.clear()
        it = made[0]
        with pytest.raises(ValueError, match="running in a different thread"):
            _ = it.gr_context
        with pytest.raises(ValueError, match="running in a different thread"):
            it.gr_context = None
        look.set()
        assert running.wait(60)
        assert it.gr_context is context
        it.gr_context = None
    finally:
        look.set()
        seen.set()
        thread.join()
    assert results == [None]
    it.gr_context = context
    assert it.gr_context is context


def test_a_context_is_released_with_its_greenlet() -> None:
    context = Context()
    context.run(WORD.set, "held")
    it = greenlet(to_parent)
    it.gr_context = context
    it.switch()
    before = sys.getrefcount(context)
    del it
    gc.collect()
    assert sys.getrefcount(context) < before


def test_the_values_of_a_dead_context_are_released() -> None:
    class Value:
        pass

    it = parked(lambda: (WORD.set(Value()), to_parent()))
    value = weakref.ref(word_in(it))
    assert value() is not None
    del it
    gc.collect()
    assert value() is None
