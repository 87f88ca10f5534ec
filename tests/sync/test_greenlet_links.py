"""Links: what is called when a greenlet has ended, where, and in which order."""

from typing import Any

import pytest

from gossamer import Greenlet, get_hub, getcurrent, sleep, spawn
from tests.support.runtime import reported, turns


def fail() -> None:
    raise LookupError("on purpose")


def test_links_are_called_once_each_in_the_order_they_were_made() -> None:
    order: list[object] = []
    it = Greenlet(int)
    it.link(lambda it: order.append("link"))
    it.rawlink(lambda it: order.append("rawlink"))
    it.link_exception(lambda it: order.append("exception"))
    it.link_value(lambda it: order.append(("value", it.value)))
    assert it.has_links()
    it.start()
    it.join()
    turns()
    assert order == ["link", "rawlink", ("value", 0)]
    assert not it.has_links()


def test_after_an_error_the_links_for_errors_are_called() -> None:
    order: list[object] = []
    it = Greenlet(fail)
    it.link_value(lambda it: order.append("value"))
    it.link_exception(lambda it: order.append(type(it.exception)))
    with reported():
        it.start()
        it.join()
    turns()
    assert order == [LookupError]


def test_a_link_runs_in_a_greenlet_of_its_own_and_may_wait() -> None:
    seen: list[Any] = []

    def link(source: Greenlet) -> None:
        sleep(0.001)
        seen.append((source, getcurrent()))

    it = spawn(int)
    it.link(link)
    it.join()
    while not seen:
        sleep(0.001)
    source, where = seen[0]
    assert source is it
    assert where not in (it, get_hub())
    assert where.parent is get_hub()


def test_a_rawlink_runs_on_the_hub_greenlet() -> None:
    seen: list[Any] = []
    it = spawn(int)
    it.rawlink(lambda it: seen.append(getcurrent()))
    it.join()
    turns()
    assert seen == [get_hub()]


@pytest.mark.parametrize("link", ["link", "link_value", "rawlink"])
def test_a_link_to_one_that_has_ended_is_called_soon_and_not_at_once(link: str) -> None:
    seen: list[Any] = []
    it = spawn(int)
    it.join()
    getattr(it, link)(seen.append)
    assert seen == []
    turns()
    assert seen == [it]


@pytest.mark.parametrize("link", ["link", "link_value", "link_exception", "rawlink"])
def test_a_link_is_taken_back_by_its_callback(link: str) -> None:
    seen: list[Any] = []
    it = Greenlet(int)
    getattr(it, link)(seen.append)
    it.unlink(seen.append)
    it.unlink(seen.append)
    assert not it.has_links()
    it.start()
    it.join()
    turns()
    assert seen == []


def test_all_links_are_taken_back_together() -> None:
    seen: list[Any] = []
    it = spawn(int)
    it.link(seen.append)
    it.rawlink(seen.append)
    it.unlink_all()
    it.join()
    turns()
    assert seen == []


@pytest.mark.parametrize("link", ["link", "link_value", "link_exception", "rawlink"])
def test_a_link_must_be_callable(link: str) -> None:
    with pytest.raises(TypeError, match="a link must be callable"):
        getattr(Greenlet(int), link)(3)


def test_what_a_link_raises_is_reported_and_the_others_are_called() -> None:
    seen: list[Any] = []
    it = spawn(int)
    it.link(lambda it: fail())
    it.rawlink(lambda it: fail())
    it.link(seen.append)
    with reported() as reports:
        it.join()
        turns()
    assert seen == [it]
    assert [report.type for report in reports] == [LookupError, LookupError]


@pytest.mark.parametrize("link", ["link", "rawlink"])
def test_a_link_that_another_takes_back_is_not_called_any_more(link: str) -> None:
    called: list[str] = []

    def first(it: Greenlet) -> None:
        it.unlink(second)
        called.append("first")

    def second(it: Greenlet) -> None:
        it.unlink(first)
        called.append("second")

    it = spawn(int)
    getattr(it, link)(first)
    getattr(it, link)(second)
    it.join()
    turns(3)
    assert called == ["first"]
    assert not it.has_links()


def test_links_have_been_called_when_join_returns() -> None:
    called: list[object] = []
    it = spawn(int)
    it.link(called.append)
    it.rawlink(called.append)
    it.join()
    assert called == [it, it]


def test_a_link_that_makes_another_has_that_one_called_too() -> None:
    called: list[object] = []
    it = spawn(int)
    it.rawlink(lambda source: source.rawlink(called.append))
    it.join()
    turns(3)
    assert called == [it]


def test_what_is_reported_of_a_link_names_it_and_its_greenlet() -> None:
    def fail(_it: object) -> None:
        raise LookupError

    with reported() as reports:
        it = spawn(int)
        it.rawlink(fail)
        it.join()
    assert [report.context for report in reports] == [(fail, it)]


def test_links_and_a_later_start_may_be_given_by_name() -> None:
    ended: list[Any] = []
    green = Greenlet(lambda: None)
    green.rawlink(callback=ended.append)
    green.rawlink(callback=print)
    green.unlink(callback=print)
    green.start_later(seconds=0)
    green.join()
    turns()
    assert ended == [green]
    unchecked: Any = green
    for wrong in ({}, {"call": print}, {"callback": print, "other": None}):
        with pytest.raises(TypeError, match="one argument, callback"):
            unchecked.rawlink(**wrong)
    with pytest.raises(TypeError, match="one argument, seconds"):
        unchecked.start_later(1, seconds=1)
