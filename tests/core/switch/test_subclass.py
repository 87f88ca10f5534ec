"""Subclasses: own constructors, attributes, `run`, and methods that take the place of the core's."""

import abc
from typing import Any

import pytest

from gossamer.switching import GreenletExit, getcurrent, greenlet
from tests.support.children import output_of
from tests.support.greenlets import to_parent


def test_a_run_method_is_what_runs() -> None:
    class Adds(greenlet):
        def run(self, x: int, *, y: int) -> tuple[bool, int]:
            return self is getcurrent(), x + y

    assert Adds().switch(40, y=2) == (True, 42)


def test_a_function_given_to_the_constructor_does_not_replace_a_run_method() -> None:
    class Own(greenlet):
        def run(self) -> str:
            return "method"

    assert Own(lambda: "function").switch() == "method"


def test_a_run_method_stays_readable_after_the_start() -> None:
    class Own(greenlet):
        def run(self) -> bool:
            return hasattr(self, "run")

    it = Own()
    assert it.switch() is True
    assert hasattr(it, "run")


def test_an_own_constructor_may_take_anything() -> None:
    class Named(greenlet):
        def __init__(self, name: str, *, factor: int) -> None:
            super().__init__()
            self.name = name
            self.factor = factor

        def run(self, value: int) -> tuple[str, int]:
            return self.name, self.factor * value

    it = Named("a", factor=2)
    assert it.switch(21) == ("a", 42)
    assert vars(it) == {"name": "a", "factor": 2}


def test_a_constructor_that_never_calls_the_base_still_gives_a_usable_greenlet() -> None:
    class Silent(greenlet):
        def __init__(self, word: str) -> None:
            self.word = word

        def run(self) -> str:
            return self.word

    it = Silent("x")
    assert it.parent is getcurrent()
    assert it.switch() == "x"


def test_the_constructor_may_be_given_its_own_run_method() -> None:
    class Inner(greenlet):
        def __init__(self) -> None:
            super().__init__(run=self.body)

        def body(self) -> int:
            return 42

    assert Inner().switch() == 42


def test_the_constructor_may_be_called_again_before_the_start() -> None:
    it = greenlet(lambda: 1)
    it.__init__(lambda: 2)  # type: ignore[misc]
    assert it.switch() == 2


def test_slots_may_be_added() -> None:
    class Slotted(greenlet):
        __slots__ = ("mark",)
        mark: int

        def run(self) -> int:
            return self.mark

    it = Slotted()
    it.mark = 42
    assert it.switch() == 42


def test_other_bases_may_be_mixed_in() -> None:
    class Mixin:
        def describe(self) -> str:
            return f"mixed {type(self).__name__}"

    class Both(Mixin, greenlet):
        def run(self) -> str:
            return self.describe()

    assert Both().switch() == "mixed Both"


def test_an_abstract_run_must_be_filled_in() -> None:
    class Abstract(greenlet, metaclass=abc.ABCMeta):
        @abc.abstractmethod
        def run(self) -> int: ...

    class Concrete(Abstract):
        def run(self) -> int:
            return 42

    with pytest.raises(TypeError, match="abstract"):
        Abstract()  # type: ignore[abstract]
    assert Concrete().switch() == 42


def test_run_may_be_a_property_or_a_static_method() -> None:
    class Computed(greenlet):
        @property
        def run(self) -> Any:  # type: ignore[override]
            return lambda: "property"

    class Static(greenlet):
        @staticmethod
        def run() -> str:
            return "static"

    assert Computed().switch() == "property"
    assert Static().switch() == "static"


def test_run_may_come_out_of_getattribute() -> None:
    class Answers(greenlet):
        def __getattribute__(self, name: str) -> Any:
            return (lambda: "answered") if name == "run" else super().__getattribute__(name)

    assert Answers().switch() == "answered"


def test_an_error_while_looking_run_up_leaves_the_greenlet_unstarted() -> None:
    class Fails(greenlet):
        fails = True

        def __getattribute__(self, name: str) -> Any:
            if name == "run" and self.fails:
                raise KeyError("not yet")
            return super().__getattribute__(name)

    it = Fails(lambda: 42)
    with pytest.raises(KeyError):
        it.switch()
    assert not it.dead and not it
    it.fails = False
    assert it.switch() == 42


def test_a_lookup_of_run_that_starts_the_same_greenlet_turns_the_start_into_a_switch() -> None:
    class Convoluted(greenlet):
        looked = False

        def __getattribute__(self, name: str) -> Any:
            if name == "run" and not self.looked:
                self.looked = True
                self.switch("inner")
            return super().__getattribute__(name)

        def run(self, first: object) -> object:
            second = to_parent(first)
            return first, second

    it = Convoluted()
    assert it.switch("outer") == ("inner", "outer")
    assert it.dead


def test_a_lookup_of_run_may_switch_away_and_come_back() -> None:
    main = getcurrent()
    order: list[object] = []

    class Hesitates(greenlet):
        def __getattribute__(self, name: str) -> Any:
            if name == "run":
                order.append(("looked up in", getcurrent()))
                order.append(main.switch("not yet"))
            return super().__getattribute__(name)

    def starter() -> object:
        return it.switch("argument")

    it = Hesitates(lambda value: ("ran with", value))
    through = greenlet(starter)
    assert through.switch() == "not yet"
    assert not it.dead and not it
    assert through.switch("go on") == ("ran with", "argument")
    assert order == [("looked up in", through), "go on"]


def test_a_parent_that_gets_started_while_its_child_starts_it_is_not_started_twice() -> None:
    main = getcurrent()
    order: list[object] = []

    class Eager(greenlet):
        busy = False

        def __getattribute__(self, name: str) -> Any:
            if name == "run" and not self.busy:
                self.busy = True
                order.append("started early")
                order.append(("early start came back with", self.switch()))
            return super().__getattribute__(name)

        def run(self, *values: object) -> None:
            order.append(("eager ran with", values))
            main.switch("from eager")

    top = greenlet(lambda *values: order.append(("top got", values)))
    middle = Eager(parent=top)
    bottom = greenlet(lambda: "bottom result", parent=middle)
    assert bottom.switch() == "from eager"
    assert not middle.dead
    assert order == ["started early", ("eager ran with", ())]


# Looking `run` up drops the last reference to the very greenlet that is asked for it.
FORGOTTEN_BY_ITS_OWN_LOOKUP = """
    import gc
    from gossamer.switching import getcurrent, greenlet

    main = getcurrent()

    class Forgotten(greenlet):
        @property
        def run(self):
            self.child.parent = main
            self.child = None
            gc.collect()
            return lambda value: ("ran", value)

    def below_a_forgotten_one(run):
        parent = Forgotten()
        parent.child = greenlet(run, main)
        return parent, parent.child
"""


def test_a_parent_may_be_forgotten_by_the_lookup_of_its_run_when_its_child_ends() -> None:
    child = """
    for _ in range(100):
        parent, child = below_a_forgotten_one(lambda: 42)
        child.parent = parent
        del parent
        assert child.switch() == ("ran", 42)
    print("ran")
    """
    assert output_of(FORGOTTEN_BY_ITS_OWN_LOOKUP + child) == "ran\n"


def test_a_parent_may_be_forgotten_by_the_lookup_of_its_run_when_its_dead_child_is_switched_to() -> None:
    child = """
    for _ in range(100):
        parent, child = below_a_forgotten_one(int)
        child.switch()
        child.parent = parent
        del parent
        assert child.switch(7) == ("ran", 7)
    print("ran")
    """
    assert output_of(FORGOTTEN_BY_ITS_OWN_LOOKUP + child) == "ran\n"


def test_a_function_that_is_never_called_may_switch_in_its_destructor() -> None:
    main = getcurrent()
    destroyed: list[object] = []

    class NeverCalled:
        def __del__(self) -> None:
            destroyed.append(self)
            main.switch("from the destructor")

    class Replaces(greenlet):
        def __getattribute__(self, name: str) -> Any:
            return (lambda: "replacement ran") if name == "run" else super().__getattribute__(name)

    it = Replaces(NeverCalled())  # type: ignore[arg-type]
    seen = []
    while not it.dead:
        seen.append(it.switch())
    del it
    assert len(destroyed) == 1
    assert "replacement ran" in seen


def test_switch_and_throw_may_be_overridden() -> None:
    calls: list[object] = []

    class Recording(greenlet):
        def switch(self, *values: Any, **named: Any) -> Any:
            calls.append(("switch", values, named))
            return super().switch(*values, **named)

        def throw(self, *what: Any) -> Any:
            calls.append(("throw", what))
            return super().throw(*what)

    it = Recording(lambda x: to_parent(x))
    assert it.switch(1) == 1
    assert isinstance(it.throw(GreenletExit), GreenletExit)
    assert calls == [("switch", (1,), {}), ("throw", (GreenletExit,))]


def test_the_end_of_a_child_does_not_go_through_an_overridden_switch() -> None:
    class Never(greenlet):
        def switch(self, *values: Any, **named: Any) -> Any:
            raise AssertionError("the core called an overridden switch")

        throw = switch

    received: list[object] = []
    above = Never(lambda: received.append(to_parent()))
    greenlet.switch(above)
    greenlet(lambda: 42, parent=above).switch()
    assert received == [42]


def test_an_overridden_parent_attribute_does_not_redirect_the_end() -> None:
    class Misleads(greenlet):
        @property
        def parent(self) -> Any:  # type: ignore[override]
            return None

    assert Misleads(lambda: 42).switch() == 42


def test_the_class_may_be_changed_between_compatible_subclasses() -> None:
    class One(greenlet):
        def run(self) -> str:
            return "one"

    class Two(greenlet):
        def run(self) -> str:
            return "two"

    it = One()
    it.__class__ = Two  # type: ignore[assignment]
    assert it.switch() == "two"


def test_a_destructor_of_a_subclass_runs_once() -> None:
    gone: list[bool] = []

    class Ends(greenlet):
        def __del__(self) -> None:
            gone.append(self.dead)

    it = Ends(int)
    it.switch()
    del it
    assert gone == [True]


def test_the_type_of_the_main_greenlet_is_the_type_itself() -> None:
    assert type(getcurrent()) is greenlet
