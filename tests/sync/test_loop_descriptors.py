"""hub.loop's watchers of descriptors, with gevent's interface."""

import errno
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from gossamer import _core, get_hub, sleep, spawn
from tests.support.children import output_of
from tests.support.runtime import reported, turns, until

loop = get_hub().loop


def test_a_watcher_of_both_directions_is_told_which_came() -> None:
    one, other = socket.socketpair()
    seen: list[Any] = []
    watcher = loop.io(one.fileno(), 3)
    watcher.start(lambda *args: seen.append(args), "x", pass_events=True)
    until(lambda: seen)
    assert seen[0] == (2, "x")
    other.send(b"x")
    until(lambda: seen[-1] == (3, "x"))
    watcher.stop()
    one.close()
    other.close()


def test_what_is_watched_changes_only_while_the_watcher_rests() -> None:
    reading, writing = os.pipe()
    seen: list[int] = []
    watcher = loop.io(reading, 1)
    watcher.start(seen.append, 1)
    with pytest.raises(AttributeError, match="fd cannot change"):
        watcher.fd = writing
    with pytest.raises(AttributeError, match="events cannot change"):
        watcher.events = 2
    watcher.stop()
    watcher.fd, watcher.events = writing, 2
    watcher.start(seen.append, 2)
    until(lambda: seen)
    watcher.stop()
    assert set(seen) == {2}
    os.close(reading)
    os.close(writing)


def test_watchers_and_green_threads_of_one_descriptor_do_not_take_each_others_events() -> None:
    one, other = socket.socketpair()
    seen: list[str] = []
    watchers = [loop.io(one.fileno(), 1) for _ in range(2)]
    for number, watcher in enumerate(watchers):
        watcher.start(seen.append, f"watcher {number}")
    reader = spawn(one.recv, 1)
    waiter = spawn(_core.wait_read, one.fileno())
    turns()
    assert seen == []
    other.send(b"xy")
    reader.join(10)
    waiter.join(10)
    assert reader.value == b"x"
    assert waiter.value is True
    until(lambda: {"watcher 0", "watcher 1"} <= set(seen))
    watchers[0].stop()
    seen.clear()
    until(lambda: len(seen) > 3)
    assert set(seen) == {"watcher 1"}
    watchers[1].stop()
    one.close()
    other.close()


def test_a_regular_file_is_always_ready(tmp_path: Path) -> None:
    seen: list[int] = []
    with (tmp_path / "file").open("w") as file, loop.io(file.fileno(), 2) as watcher:
        watcher.start(seen.append, 1)
        until(lambda: len(seen) > 2)


def test_a_descriptor_that_is_closed_while_it_is_watched_is_told_and_ends_the_watcher() -> None:
    reading, writing = os.pipe()
    with reported() as reports:
        watcher = loop.io(reading, 1)
        watcher.start(int)
        turns()
        os.close(reading)
        until(lambda: reports)
    assert reports[0].context is watcher
    assert isinstance(reports[0].value, OSError)
    assert reports[0].value.errno == errno.EBADF
    assert not watcher.active
    os.close(writing)


def test_a_watcher_stopped_after_its_descriptor_was_closed_tells_nothing() -> None:
    reading, writing = os.pipe()
    with reported() as reports:
        watcher = loop.io(reading, 1)
        watcher.start(int)
        turns()
        os.close(reading)
        watcher.stop()
        turns()
    assert reports == []
    os.close(writing)


def test_a_watcher_that_is_ready_all_the_time_lets_others_run() -> None:
    reading, writing = os.pipe()
    fired: list[int] = []
    with loop.io(writing, 2) as watcher:
        watcher.start(fired.append, 1)
        until(lambda: len(fired) > 1)
    os.close(reading)
    os.close(writing)


def test_watchers_live_on_in_a_forked_child_and_end_with_their_thread() -> None:
    assert (
        output_of(
            """
import gossamer, os, threading
from gossamer import _core

log = []
loop = gossamer.get_hub().loop
reading, writing = os.pipe()
io, timer = loop.io(reading, 1), loop.timer(0.01)
io.start(lambda: log.append(os.read(reading, 9)))
timer.start(log.append, 'timer')
gossamer.sleep(0)
pid = os.fork()
if pid == 0:
    os.write(writing, b'x')
    while len(log) < 2:
        gossamer.sleep(0.001)
    print(sorted(log, key=str), flush=True)
    os._exit(0)
io.stop()
os.waitpid(pid, 0)

class Told:
    def __del__(self):
        print('freed')

def leave():
    loop = gossamer.get_hub().loop
    loop.timer(60).start(print, Told())
    loop.io(0, 1).start(print, Told())
    loop.timer(0).start(print, Told())
    gossamer.get_hub().poll()

thread = threading.Thread(target=leave)
thread.start()
thread.join()
print('end')
"""
        )
        == "[b'x', 'timer']\nfreed\nfreed\nfreed\nend\n"
    )


def test_a_descriptor_is_watched_until_it_is_not_ready_any_more() -> None:
    reading, writing = os.pipe()
    seen: list[bytes] = []
    with loop.io(reading, 1) as watcher:
        watcher.start(lambda: seen.append(os.read(reading, 1)))
        os.write(writing, b"ab")
        until(lambda: len(seen) == 2)
        turns()
        os.write(writing, b"c")
        until(lambda: len(seen) == 3)
    turns()
    os.write(writing, b"d")
    sleep(0.002)
    assert seen == [b"a", b"b", b"c"]
    os.close(reading)
    os.close(writing)


def test_a_callback_may_stop_its_watcher() -> None:
    reading, writing = os.pipe()
    seen: list[int] = []
    watcher = loop.io(writing, 3)
    watcher.start(lambda: (seen.append(1), watcher.stop()))
    until(lambda: seen)
    turns()
    assert seen == [1]
    os.close(reading)
    os.close(writing)


def test_a_bad_descriptor_is_told_to_the_hub_and_ends_the_watcher() -> None:
    with reported() as reports:
        watcher = loop.io(999_999, 1)
        watcher.start(int)
        until(lambda: reports)
    assert reports[0].type is OSError
    assert not watcher.active


def test_watchers_that_start_and_stop_between_two_polls_need_no_more_room_than_there_is() -> None:
    out = output_of("""
import os
from gossamer import get_hub, sleep

loop = get_hub().loop
ends = [os.dup(0) for _ in range(600)]
for _ in range(3):
    for descriptor in ends:
        watcher = loop.io(descriptor, 1)
        watcher.start(print)
        watcher.stop()
    watchers = [loop.io(descriptor, 1) for descriptor in ends]
    for watcher in watchers:
        watcher.start(int)
    for watcher in watchers:
        watcher.stop()
    sleep(0.001)
print("ended")
""")
    assert out == "ended\n"
