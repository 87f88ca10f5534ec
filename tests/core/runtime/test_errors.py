"""Errors: what a green thread raises is kept, reported to its hub, and disturbs nobody else."""

import traceback
from typing import Any

import pytest

from gossamer._core import GreenletExit, GreenThread, get_hub, sleep, spawn
from tests.support.children import output_of, run_child
from tests.support.runtime import PRELUDE, joined, reported, turns


def fails(text: str) -> None:
    """Raise LookupError(text) in a second turn."""
    sleep(0)
    raise LookupError(text)


def test_an_error_is_reported_with_its_green_thread_as_context() -> None:
    with reported() as reports:
        it = spawn(fails, "why")
        joined(it)
    assert [(report.context, report.type, report.value) for report in reports] == [(it, LookupError, it.exception)]
    names = [frame.name for frame in traceback.extract_tb(reports[0].traceback)]
    assert names[-1] == "fails"


def test_an_error_is_kept_and_the_green_thread_not_successful() -> None:
    with reported():
        it = spawn(fails, "why")
        joined(it)
    assert it.ready() and not it.successful() and it.value is None and it.dead
    assert isinstance(it.exception, LookupError) and it.exception.args == ("why",)


def test_an_error_leaves_the_others_running() -> None:
    with reported() as reports:
        crowd = [spawn(fails, str(number)) if number % 2 else spawn(turns, 2) for number in range(20)]
        joined(*crowd)
    assert [it.successful() for it in crowd] == [number % 2 == 0 for number in range(20)]
    assert [str(report.value) for report in reports] == [str(number) for number in range(1, 20, 2)]


def test_the_report_comes_before_the_joiners_go_on() -> None:
    with reported() as reports:
        it = spawn(fails, "why")
        it.join()
        assert len(reports) == 1


@pytest.mark.parametrize("thrown", [GreenletExit, GreenletExit("with a value")], ids=["class", "instance"])
def test_greenletexit_is_a_result_not_an_error(thrown: Any) -> None:
    def body() -> None:
        raise thrown

    with reported() as reports:
        it = spawn(body)
        joined(it)
    assert reports == [] and it.successful() and it.exception is None
    assert isinstance(it.value, GreenletExit)


def test_the_default_report_names_the_green_thread_and_shows_the_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    it = spawn(fails, "a certain text")
    joined(it)
    shown = capsys.readouterr().err
    assert repr(it)[:30] in shown
    assert "in fails" in shown and "LookupError: a certain text" in shown


def test_the_core_s_report_is_made_by_the_program_s_hook() -> None:
    out = output_of(
        PRELUDE
        + """
shown = []
sys.excepthook = lambda *error: shown.append(error)
it = spawn([].pop)
joined(it)
print([error[:2] == (IndexError, it.exception) for error in shown])
"""
    )
    assert out == "[True]\n"


def test_where_the_program_s_hook_fails_both_errors_are_shown() -> None:
    ended = run_child(
        PRELUDE
        + """
sys.excepthook = lambda *error: {}['in the hook']
joined(spawn([].pop))
"""
    )
    assert ended.status == 0, ended.describe()
    assert "KeyError: 'in the hook'" in ended.err and "IndexError: pop from empty list" in ended.err


def test_a_program_that_goes_on_after_a_reported_interrupt_ends_as_it_likes() -> None:
    source = """
        import os, signal
        from gossamer import _core
        _core.get_hub().call_later(0, os.kill, os.getpid(), signal.SIGINT)
        try:
            _core.sleep(60)
        except KeyboardInterrupt:
            print('interrupted')
    """
    ended = run_child(source)
    assert (ended.status, ended.out) == (0, "interrupted\n"), ended.describe()


def test_a_report_can_be_made_by_hand(capsys: pytest.CaptureFixture[str]) -> None:
    get_hub().handle_error("some context", LookupError, LookupError("by hand"), None)
    shown = capsys.readouterr().err
    assert "some context" in shown and "LookupError: by hand" in shown


def test_a_failing_report_is_unraisable_and_everything_goes_on() -> None:
    out = output_of(
        PRELUDE
        + """
seen = []
sys.unraisablehook = lambda what: seen.append(type(what.exc_value))
def handle_error(*_):
    raise KeyError
get_hub().handle_error = handle_error
def fails():
    raise LookupError
it = spawn(fails)
print(joined(it, spawn(int)), seen, type(it.exception))
"""
    )
    assert out == "[None, 0] [<class 'KeyError'>] <class 'LookupError'>\n"


def test_every_kind_of_exception_is_reported() -> None:
    class Odd(BaseException):
        pass

    def body() -> None:
        raise Odd

    with reported() as reports:
        it = spawn(body)
        joined(it)
    assert [report.type for report in reports] == [Odd] and isinstance(it.exception, Odd)


def test_a_link_and_a_joiner_see_the_same_exception() -> None:
    seen: list[BaseException | None] = []

    def link(ended: GreenThread) -> None:
        seen.append(ended.exception)

    with reported() as reports:
        it = spawn(fails, "why")
        it.rawlink(link)
        joined(it)
        turns()
    assert seen == [it.exception] == [reports[0].value]


def test_exiting_the_program_inside_a_green_thread_gives_its_status() -> None:
    ended = run_child(
        PRELUDE
        + """
it = spawn(sys.exit, 3)
it.join()
sleep(0.01)
"""
    )
    assert ended.status == 3, ended.describe()


def test_exiting_the_program_inside_a_green_thread_unwinds_the_main_one() -> None:
    ended = run_child(
        PRELUDE
        + """
it = spawn(sys.exit, 3)
try:
    sleep(10)
finally:
    print('unwound', flush=True)
"""
    )
    assert (ended.status, ended.out) == (3, "unwound\n"), ended.describe()


def test_a_failing_hub_method_of_a_subclass_gets_the_context() -> None:
    out = output_of(
        PRELUDE
        + """
class Own(Hub):
    def handle_error(self, context, kind, value, tb):
        print(self is get_hub(), context is it, kind.__name__, value.args, tb is not None)
set_hub_class(Own)
def work():
    global it
    def fails():
        raise LookupError('why')
    assert type(get_hub()) is Own
    it = spawn(fails)
    joined(it)
in_thread(work)
"""
    )
    assert out == "True True LookupError ('why',) True\n"


def test_two_errors_for_the_main_greenlet_are_raised_there_one_after_the_other() -> None:
    out = output_of(
        PRELUDE
        + """
def exits():
    raise SystemExit(3)

def breaks():
    raise KeyboardInterrupt

spawn(exits)
spawn(breaks)
seen = []
while len(seen) < 2:
    try:
        sleep(patience(30))
        break
    except BaseException as error:
        seen.append(type(error).__name__)
print(seen)
"""
    )
    assert out == "['SystemExit', 'KeyboardInterrupt']\n"
