"""Greenlets with gevent's interface: started, joined, killed, linked to, waited for."""

import time

import pytest

import gossamer
from gossamer import Greenlet, GreenletExit, Timeout, joinall, killall, sleep, spawn, spawn_later


def test_a_spawned_one_runs_with_its_arguments_and_has_its_value() -> None:
    greenlet = spawn(lambda first, *, second: first + second, 1, second=2)
    assert not greenlet.ready()
    assert greenlet.get() == 3
    assert (greenlet.ready(), greenlet.successful(), greenlet.value, greenlet.exception) == (True, True, 3, None)


def test_the_top_level_and_the_class_spawn_the_same() -> None:
    assert type(spawn(sleep)) is type(Greenlet.spawn(sleep)) is Greenlet


def test_get_raises_the_error_that_ended_it(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise LookupError("gone")

    greenlet = spawn(fail)
    with pytest.raises(LookupError, match="gone"):
        greenlet.get()
    assert isinstance(greenlet.exception, LookupError)
    assert not greenlet.successful()
    assert "LookupError: gone" in capsys.readouterr().err


def test_get_gives_up_after_its_timeout() -> None:
    greenlet = spawn(sleep, 60)
    with pytest.raises(Timeout):
        greenlet.get(timeout=0.01)
    greenlet.kill()


def test_a_killed_one_runs_its_finally_blocks_and_its_value_is_the_exit() -> None:
    ended = []

    def wait() -> None:
        try:
            sleep(60)
        finally:
            ended.append(True)

    greenlet = spawn(wait)
    sleep(0)
    greenlet.kill()
    assert ended == [True]
    assert isinstance(greenlet.value, GreenletExit)
    assert greenlet.successful()


def test_one_that_is_killed_before_its_turn_never_runs() -> None:
    ran: list[bool] = []
    greenlet = spawn(ran.append, True)
    greenlet.kill()
    sleep(0)
    assert ran == []
    assert greenlet.ready()


def test_killing_without_waiting_lets_the_caller_go_on_first() -> None:
    greenlet = spawn(sleep, 60)
    sleep(0)
    greenlet.kill(block=False)
    assert not greenlet.ready()
    greenlet.join()
    assert greenlet.ready()


def test_kill_may_bring_another_exception(capsys: pytest.CaptureFixture[str]) -> None:
    greenlet = spawn(sleep, 60)
    sleep(0)
    greenlet.kill(ValueError("enough"))
    assert isinstance(greenlet.exception, ValueError)
    capsys.readouterr()


def test_one_that_refuses_to_die_goes_on() -> None:
    def stubborn() -> str:
        try:
            sleep(60)
        except GreenletExit:
            pass
        return "alive"

    greenlet = spawn(stubborn)
    sleep(0)
    greenlet.kill()
    assert greenlet.value == "alive"


def test_killing_a_finished_one_does_nothing() -> None:
    greenlet = spawn(lambda: 1)
    greenlet.join()
    greenlet.kill()
    assert greenlet.value == 1


def test_a_subclass_has_a_run_of_its_own() -> None:
    class Adder(Greenlet):
        def __init__(self, one: int, other: int) -> None:
            super().__init__()
            self.parts = (one, other)

        def _run(self) -> int:
            return sum(self.parts)

    greenlet = Adder(1, 2)
    greenlet.start()
    assert greenlet.get() == 3


def test_links_are_called_in_order_after_the_end() -> None:
    calls = []
    greenlet = Greenlet(lambda: 1)
    greenlet.link(lambda source: calls.append(("any", source)))
    greenlet.link_value(lambda source: calls.append(("value", source)))
    greenlet.link_exception(lambda source: calls.append(("exception", source)))
    greenlet.start()
    greenlet.join()
    sleep(0.01)
    assert calls == [("any", greenlet), ("value", greenlet)]


def test_a_link_that_is_taken_back_is_not_called() -> None:
    calls: list[object] = []
    greenlet = Greenlet(lambda: 1)
    greenlet.link(calls.append)
    greenlet.unlink(calls.append)
    greenlet.start()
    greenlet.join()
    sleep(0.01)
    assert calls == []


def test_spawn_later_waits_first() -> None:
    began = time.monotonic()
    greenlet = spawn_later(0.05, time.monotonic)
    assert greenlet.get() - began >= 0.05


def test_one_to_be_spawned_later_can_be_killed_before() -> None:
    ran: list[bool] = []
    greenlet = spawn_later(0.02, ran.append, True)
    greenlet.kill()
    sleep(0.05)
    assert ran == []


def test_joinall_waits_for_all_and_returns_those_that_are_done() -> None:
    greenlets = [spawn(sleep, 0.01), spawn(lambda: 2)]
    assert set(joinall(greenlets)) == set(greenlets)
    endless = spawn(sleep, 60)
    assert joinall([endless, *greenlets], timeout=0.01) != [endless]
    assert not endless.ready()
    endless.kill()


def test_joinall_raises_the_first_error_when_asked_to(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise LookupError("gone")

    with pytest.raises(LookupError):
        joinall([spawn(fail), spawn(sleep, 0)], raise_error=True)
    capsys.readouterr()


def test_killall_ends_all() -> None:
    greenlets = [spawn(sleep, 60) for _ in range(10)]
    sleep(0)
    killall(greenlets)
    assert all(greenlet.ready() for greenlet in greenlets)


def test_started_tells_whether_it_is_on_its_way() -> None:
    greenlet = Greenlet(sleep, 0)
    assert not greenlet.started
    greenlet.start()
    assert greenlet.started
    greenlet.join()
    assert greenlet.dead


def test_wait_waits_for_objects_of_several_kinds() -> None:
    greenlet = spawn(sleep, 0.01)
    assert gossamer.wait([greenlet], timeout=5) == [greenlet]


def test_ten_thousand_run_and_leave_no_error() -> None:
    greenlets = [spawn(lambda number=number: number) for number in range(10_000)]
    joinall(greenlets)
    assert [greenlet.value for greenlet in greenlets] == list(range(10_000))
