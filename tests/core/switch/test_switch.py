"""Switching: who runs, what a switch carries, and where a result goes.

The rule for values is one for all directions: nothing given arrives as `()`, one positional value as itself,
several as a tuple, keywords alone as a dict, both as `(tuple, dict)`.
"""

import functools
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from gossamer import switching
from gossamer.switching import GreenletExit, error, getcurrent, greenlet
from tests.support.greenlets import ended, parked, to_parent

CARRIED = [
    pytest.param((), {}, (), id="nothing"),
    pytest.param((7,), {}, 7, id="one value"),
    pytest.param(((),), {}, (), id="one empty tuple"),
    pytest.param((None,), {}, None, id="None"),
    pytest.param(((1, 2),), {}, (1, 2), id="one tuple"),
    pytest.param((1, 2), {}, (1, 2), id="several values"),
    pytest.param((), {"a": 1}, {"a": 1}, id="keywords"),
    pytest.param((1,), {"a": 2}, ((1,), {"a": 2}), id="a value and a keyword"),
    pytest.param((1, 2), {"a": 3, "b": 4}, ((1, 2), {"a": 3, "b": 4}), id="values and keywords"),
]
carried = pytest.mark.parametrize(("values", "named", "arrives"), CARRIED)


def test_two_greenlets_hand_control_to_each_other_with_values(capsys: pytest.CaptureFixture[str]) -> None:
    def test1(x: str, y: str) -> None:
        z = gr2.switch(x + y)
        print(z)

    def test2(u: str) -> None:
        print(u)
        gr1.switch(42)

    gr1 = greenlet(test1)
    gr2 = greenlet(test2)
    gr1.switch("hello", " world")
    assert capsys.readouterr().out == "hello world\n42\n"
    assert gr1.dead and not gr2.dead


def test_control_alternates_in_the_order_of_the_switches() -> None:
    order = [0]

    def body() -> None:
        order.append(1)
        to_parent()
        order.append(3)

    it = greenlet(body)
    it.switch()
    order.append(2)
    it.switch()
    order.append(4)
    assert order == [0, 1, 2, 3, 4]


def test_the_first_switch_calls_the_function_with_all_its_arguments() -> None:
    def body(*values: int, **named: int) -> tuple[tuple[int, ...], dict[str, int]]:
        return values, named

    assert greenlet(body).switch(1, 2, x=3) == ((1, 2), {"x": 3})
    assert greenlet(body).switch() == ((), {})


@carried
def test_a_parked_greenlet_receives_what_the_switch_carries(
    values: tuple[Any, ...], named: dict[str, Any], arrives: object
) -> None:
    received: list[object] = []
    it = parked(lambda: received.append(to_parent()))
    it.switch(*values, **named)
    assert received == [arrives]


@carried
def test_the_parent_receives_what_the_switch_carries(
    values: tuple[Any, ...], named: dict[str, Any], arrives: object
) -> None:
    it = greenlet(lambda: to_parent(*values, **named))
    assert it.switch() == arrives


@carried
def test_switching_to_oneself_returns_what_the_switch_carries(
    values: tuple[Any, ...], named: dict[str, Any], arrives: object
) -> None:
    assert getcurrent().switch(*values, **named) == arrives
    assert greenlet(lambda: getcurrent().switch(*values, **named)).switch() == arrives


@carried
def test_switching_to_a_dead_greenlet_delivers_to_its_parent(
    values: tuple[Any, ...], named: dict[str, Any], arrives: object
) -> None:
    assert ended().switch(*values, **named) == arrives


def test_the_objects_that_travel_are_the_same_objects() -> None:
    sent, returned = object(), object()

    def body(value: object) -> object:
        assert value is sent
        assert to_parent(value) is sent
        return returned

    it = greenlet(body)
    assert it.switch(sent) is sent
    assert it.switch(sent) is returned


def test_a_keyword_dictionary_that_arrives_is_not_the_senders() -> None:
    named = {"a": 1}
    it = parked(to_parent)
    arrived = greenlet(lambda: to_parent(**named)).switch()
    assert arrived == named and arrived is not named
    it.switch(**named)
    assert named == {"a": 1}


def test_thousands_of_values_travel_in_one_switch() -> None:
    many = tuple(range(10_000))
    names = {f"n{i}": i for i in range(1_000)}
    it = greenlet(lambda *values, **named: to_parent(values, named))
    assert it.switch(*many, **names) == (many, names)


def test_the_result_of_the_function_is_what_the_last_switch_returns() -> None:
    assert greenlet(lambda: 42).switch() == 42
    assert greenlet(lambda: (1, 2)).switch() == (1, 2)
    assert greenlet(lambda: ()).switch() == ()
    assert greenlet(lambda: None).switch() is None


def test_an_exception_of_the_function_is_raised_where_it_was_switched_from() -> None:
    fault = ValueError("from inside")

    def body() -> None:
        raise fault

    it = greenlet(body)
    with pytest.raises(ValueError) as caught:
        it.switch()
    assert caught.value is fault
    assert it.dead


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, GeneratorExit, StopIteration, error, MemoryError])
def test_every_kind_of_exception_but_greenletexit_reaches_the_parent(kind: type[BaseException]) -> None:
    def body() -> None:
        raise kind("why")

    with pytest.raises(kind):
        greenlet(body).switch()


def test_a_greenletexit_that_leaves_the_function_is_its_result() -> None:
    leave = GreenletExit("done")

    def body() -> None:
        raise leave

    it = greenlet(body)
    assert it.switch() is leave
    assert it.dead


def test_a_subclass_of_greenletexit_that_leaves_the_function_is_its_result() -> None:
    class Leave(GreenletExit):
        pass

    def body() -> None:
        raise Leave(3)

    result = greenlet(body).switch()
    assert type(result) is Leave and result.args == (3,)


def test_greenletexit_is_no_exception_and_error_is_one() -> None:
    assert issubclass(GreenletExit, BaseException) and not issubclass(GreenletExit, Exception)
    assert issubclass(error, Exception)


def test_the_type_carries_the_names_of_the_module() -> None:
    for name in ("GreenletExit", "error", "getcurrent", "gettrace", "settrace"):
        assert getattr(greenlet, name) is getattr(switching, name)


@pytest.mark.parametrize(
    "callable_thing",
    [
        functools.partial(int, "42"),
        lambda: 42,
        [42].pop,
        type("Callable", (), {"__call__": lambda self: 42})(),
        type("Method", (), {"run": lambda self: 42})().run,
    ],
    ids=["partial", "function", "built-in method", "object with __call__", "bound method"],
)
def test_anything_callable_can_be_run(callable_thing: Callable[[], object]) -> None:
    assert greenlet(callable_thing).switch() == 42


def test_a_class_can_be_run() -> None:
    assert greenlet(dict).switch(a=1) == {"a": 1}


def test_getcurrent_itself_can_be_run() -> None:
    it = greenlet(getcurrent)
    assert it.switch() is it


def test_the_switch_of_another_greenlet_can_be_run() -> None:
    main = getcurrent()
    it = greenlet(main.switch)
    assert it.switch("there") == "there"
    assert not it.dead
    assert it.switch("back") == "back"
    assert it.dead


def test_what_is_not_callable_fails_inside_the_greenlet() -> None:
    it = greenlet(5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="not callable"):
        it.switch()
    assert it.dead


def test_arguments_that_do_not_fit_fail_inside_the_greenlet() -> None:
    it = greenlet(lambda x: x)
    with pytest.raises(TypeError, match="argument"):
        it.switch()
    assert it.dead


def test_a_greenlet_without_a_function_cannot_be_started() -> None:
    it = greenlet()
    with pytest.raises(AttributeError, match="run"):
        it.switch()
    with pytest.raises(AttributeError, match="run"):
        it.switch()
    assert not it.dead


def test_a_greenlet_that_failed_to_start_starts_once_it_has_a_function() -> None:
    it = greenlet()
    with pytest.raises(AttributeError):
        it.switch()
    it.run = lambda: 42
    assert it.switch() == 42


def test_none_counts_as_a_function_that_is_not_callable() -> None:
    it = greenlet(None)
    assert it.run is None
    with pytest.raises(TypeError, match="not callable"):
        it.switch()


def test_the_function_can_be_replaced_until_the_start() -> None:
    it = greenlet(lambda: 1)
    it.run = lambda: 2
    assert it.switch() == 2


def test_a_deleted_function_is_gone() -> None:
    it = greenlet(lambda: 1)
    del it.run
    assert not hasattr(it, "run")
    with pytest.raises(AttributeError, match="run"):
        it.switch()


def test_the_function_is_out_of_reach_once_started() -> None:
    it = greenlet(lambda: hasattr(getcurrent(), "run"))
    assert hasattr(it, "run")
    assert it.switch() is False
    assert not hasattr(it, "run")


def test_the_function_cannot_be_changed_once_started() -> None:
    for it in (parked(), ended()):
        with pytest.raises(AttributeError, match="run cannot be set after the start of the greenlet"):
            it.run = int
        with pytest.raises(AttributeError, match="run cannot be set after the start of the greenlet"):
            del it.run


def test_the_main_greenlet_has_no_function() -> None:
    main = getcurrent()
    assert not hasattr(main, "run")
    with pytest.raises(AttributeError, match="run"):
        main.run = int


def test_the_constructor_takes_a_function_and_a_parent_by_position_or_name() -> None:
    other = greenlet()
    assert greenlet(int, other).parent is other
    by_name = greenlet(parent=other, run=int)
    assert by_name.parent is other and by_name.run is int
    assert greenlet(int, None).parent is getcurrent()


def test_the_constructor_refuses_what_it_does_not_know() -> None:
    with pytest.raises(TypeError, match="at most 2"):
        greenlet(int, getcurrent(), 3)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        greenlet(rum=int)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="greenlet"):
        greenlet(int, "parent")  # type: ignore[arg-type]


def test_an_instance_is_not_callable() -> None:
    with pytest.raises(TypeError, match="not callable"):
        greenlet(int)()  # type: ignore[operator]


def test_a_bound_switch_outlives_the_last_name_of_its_greenlet() -> None:
    resume = parked(lambda: to_parent() + 1).switch
    assert resume(41) == 42


def test_switch_can_be_called_through_the_type() -> None:
    assert greenlet.switch(greenlet(lambda x, y: (x, y)), 1, y=2) == (1, 2)
    with pytest.raises(TypeError):
        greenlet.switch()  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        greenlet.switch(object(), 1)  # type: ignore[arg-type]


def test_many_greenlets_take_turns() -> None:
    seen: list[int] = []

    def body(number: int) -> None:
        for _ in range(5):
            seen.append(number)
            to_parent()

    crowd = [greenlet(functools.partial(body, number)) for number in range(100)]
    for _ in range(5):
        for it in crowd:
            it.switch()
    assert seen == list(range(100)) * 5
    for it in crowd:
        it.switch()
        assert it.dead


def test_a_ring_of_greenlets_passes_a_value_round() -> None:
    ring: list[greenlet] = []

    def body(place: int, value: int) -> None:
        while True:
            value = ring[place + 1].switch(value + 1) if place + 1 < len(ring) else to_main(value + 1)

    to_main = getcurrent().switch
    ring.extend(greenlet(functools.partial(body, place)) for place in range(200))
    assert ring[0].switch(0) == 200
    assert ring[0].switch(1000) == 1200


def test_each_greenlet_of_a_long_chain_returns_to_the_one_that_started_it() -> None:
    def body(left: int) -> int:
        return 1 + (greenlet(body).switch(left - 1) if left else 0)

    assert greenlet(body).switch(200) == 201


def test_a_recursive_walk_becomes_an_iterator() -> None:
    class Iterated:
        def __init__(self, walk: Callable[[Callable[[Any], Any]], None]) -> None:
            self.walk = walk

        def __iter__(self) -> Iterator[Any]:
            producer = greenlet(lambda: self.walk(to_parent))
            while True:
                item = producer.switch()
                if producer.dead:
                    return
                yield item

    def walk(tree: Any, give: Callable[[Any], Any]) -> None:
        if isinstance(tree, list):
            for branch in tree:
                walk(branch, give)
        else:
            give(tree)

    def nested(give: Callable[[Any], Any]) -> None:
        for item in Iterated(functools.partial(walk, [1, [2, [3]], [[4]], 5])):
            give(item * 10)

    assert list(Iterated(nested)) == [10, 20, 30, 40, 50]


def _by_sort_key(visit: Callable[[int], Any], items: list[int]) -> None:
    items.sort(key=visit)


def _by_comparison(visit: Callable[[int], Any], items: list[int]) -> None:
    class Item:
        def __init__(self, value: int) -> None:
            self.value = value

        def __lt__(self, other: "Item") -> bool:
            visit(self.value)
            return self.value < other.value

    sorted(Item(value) for value in items)


def _by_map(visit: Callable[[int], Any], items: list[int]) -> None:
    list(map(visit, items))


def _by_substitution(visit: Callable[[int], Any], items: list[int]) -> None:
    re.sub(r"\d", lambda found: str(visit(int(found.group()))), "".join(map(str, items)))


def _by_reduce(visit: Callable[[int], Any], items: list[int]) -> None:
    functools.reduce(lambda _, item: visit(item), items, None)


def _by_destructor(visit: Callable[[int], Any], items: list[int]) -> None:
    class Ends:
        def __init__(self, value: int) -> None:
            self.value = value

        def __del__(self) -> None:
            visit(self.value)

    for item in items:
        Ends(item)


def _by_hash_and_equality(visit: Callable[[int], Any], items: list[int]) -> None:
    class Key:
        def __init__(self, value: int) -> None:
            self.value = value

        def __hash__(self) -> int:
            return 1

        def __eq__(self, other: object) -> bool:
            visit(self.value)
            return self is other

    assert len({Key(item) for item in items}) == len(items)


def _by_generator(visit: Callable[[int], Any], items: list[int]) -> None:
    sum(visit(item) or 0 for item in items)


def _by_context_manager(visit: Callable[[int], Any], items: list[int]) -> None:
    class Visit:
        def __init__(self, value: int) -> None:
            self.value = value

        def __enter__(self) -> None:
            visit(self.value)

        def __exit__(self, *_: object) -> None:
            visit(self.value)

    for item in items:
        with Visit(item):
            pass


def _by_handlers(visit: Callable[[int], Any], items: list[int]) -> None:
    for item in items:
        try:
            try:
                raise LookupError(item)
            except LookupError:
                visit(item)
        finally:
            visit(item)


@pytest.mark.parametrize(
    "visit_all",
    [
        _by_sort_key,
        _by_comparison,
        _by_map,
        _by_substitution,
        _by_reduce,
        _by_destructor,
        _by_hash_and_equality,
        _by_generator,
        _by_context_manager,
        _by_handlers,
    ],
    ids=lambda function: function.__name__.removeprefix("_by_"),
)
def test_two_greenlets_interleave_inside(visit_all: Callable[[Callable[[int], Any], list[int]], None]) -> None:
    alone: list[int] = []
    visit_all(lambda value: alone.append(value) or value, [3, 1, 2])

    together: list[tuple[str, int]] = []

    def body(name: str) -> None:
        def visit(value: int) -> int:
            together.append((name, value))
            to_parent()
            return value

        visit_all(visit, [3, 1, 2])

    left, right = greenlet(body), greenlet(body)
    for it in (left, right):
        it.switch("left" if it is left else "right")
    while not (left.dead and right.dead):
        left.switch()
        right.switch()
    assert together == [(name, value) for value in alone for name in ("left", "right")]
