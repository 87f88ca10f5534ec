"""Watchers of children, signals, files, forks, messages of other threads, and of the hub's own turns."""

import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

import gossamer
from gossamer import get_hub, getcurrent, sleep, spawn
from gossamer.switching import error
from tests.support.children import output_of
from tests.support.runtime import PRELUDE, in_thread, open_descriptors, turns, until

loop = get_hub().loop


def test_another_thread_may_send_to_an_async_watcher() -> None:
    seen: list[Any] = []
    watcher = loop.async_()
    watcher.start(lambda: seen.append(getcurrent()))
    in_thread(watcher.send)
    assert watcher.pending
    until(lambda: seen)
    assert seen == [get_hub()]
    assert not watcher.pending
    watcher.stop()
    watcher.send_ignoring_arg("ignored")
    turns()
    assert seen == [get_hub()]


def test_the_end_of_a_child_is_told_with_its_status() -> None:
    assert (
        output_of(
            """
import gossamer, os
loop = gossamer.get_hub().loop
pid = os.fork()
if pid == 0:
    os._exit(3)
child = loop.child(pid)
child.start(lambda: print(child.rpid == pid, os.waitstatus_to_exitcode(child.rstatus)))
print(gossamer.wait(), child.active)
"""
        )
        == "True 3\nTrue False\n"
    )


def test_a_signal_is_told_to_each_watcher_and_the_handler_before_comes_back() -> None:
    before = signal.getsignal(signal.SIGUSR2)
    seen: list[int] = []
    one, other = loop.signal(signal.SIGUSR2), loop.signal(signal.SIGUSR2, ref=False)
    one.start(seen.append, 1)
    other.start(seen.append, 2)
    os.kill(os.getpid(), signal.SIGUSR2)
    until(lambda: len(seen) == 2)
    one.stop()
    os.kill(os.getpid(), signal.SIGUSR2)
    until(lambda: len(seen) == 3)
    other.stop()
    assert seen == [1, 2, 2]
    assert signal.getsignal(signal.SIGUSR2) is before


def test_a_change_of_a_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "file"
    seen: list[bool] = []
    with loop.stat(str(path), interval=0.005) as watcher:
        watcher.start(lambda: seen.append(watcher.prev is None and watcher.attr is not None))
        turns()
        path.write_text("text")
        until(lambda: seen)
    assert seen == [True]


def test_a_fork_is_told_in_the_child() -> None:
    assert (
        output_of(
            """
import gossamer, os
seen = []
watcher = gossamer.get_hub().loop.fork()
watcher.start(seen.append, 1)
pid = os.fork()
gossamer.sleep(0)
if pid == 0:
    os._exit(0 if seen == [1] else 1)
print(seen, os.waitpid(pid, 0)[1])
"""
        )
        == "[] 0\n"
    )


def test_the_end_of_a_child_that_somebody_else_has_reaped_is_told_all_the_same() -> None:
    out = output_of("""
import gossamer, os
loop = gossamer.get_hub().loop
pid = os.fork()
if pid == 0:
    os._exit(3)
os.waitpid(pid, 0)
child = loop.child(pid)
child.start(lambda: print("told", child.rpid == pid, child.rstatus))
print(gossamer.wait(timeout=30), child.active)
""")
    assert out == "told True 0\nTrue False\n"


def test_what_was_sent_before_the_start_is_not_told() -> None:
    seen: list[int] = []
    watcher = loop.async_()
    watcher.send()
    watcher.start(seen.append, 1)
    turns()
    watcher.send()
    watcher.stop()
    watcher.start(seen.append, 2)
    turns()
    assert seen == []
    watcher.stop()


def test_watchers_with_ref_false_are_nothing_that_join_waits_for(tmp_path: Path) -> None:
    child = os.posix_spawn("/bin/sleep", ["sleep", "600"], {})
    watchers: list[Any] = [loop.child(child, ref=False), loop.stat(str(tmp_path), ref=False)]
    watchers += [getattr(loop, kind)(ref=False) for kind in ("async_", "fork", "idle", "prepare", "check")]
    for watcher in watchers:
        before = loop.activecnt
        watcher.start(int)
        assert loop.activecnt == before, watcher
        watcher.ref = True
        assert loop.activecnt == before + 1, watcher
        watcher.stop()
        assert loop.activecnt == before, watcher
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def test_join_ends_while_watchers_are_active_that_it_does_not_wait_for() -> None:
    assert (
        output_of(
            """
import gossamer
loop = gossamer.get_hub().loop
watchers = [getattr(loop, kind)(ref=False) for kind in ('idle', 'prepare', 'check', 'async_')]
watchers.append(loop.stat('/', ref=False))
for watcher in watchers:
    watcher.start(int)
    print(gossamer.wait(timeout=30))
"""
        )
        == "True\n" * 5
    )


def test_what_is_watched_in_one_thread_does_not_keep_anothers_hub_waiting() -> None:
    source = """
        go_on, ready = threading.Event(), threading.Event()
        def work():
            watcher = gossamer.get_hub().loop.async_()
            watcher.start(int)
            ready.set()
            go_on.wait()
        thread = threading.Thread(target=work)
        thread.start()
        ready.wait()
        print(gossamer.wait(timeout=30))
        go_on.set()
        thread.join()
    """
    assert output_of("import gossamer, threading\n" + source.replace("\n        ", "\n")) == "True\n"


def test_a_thread_that_ends_with_watchers_active_leaves_nothing_of_them() -> None:
    out = output_of(
        PRELUDE
        + """
import gossamer.hub
def work():
    loop = get_hub().loop
    child = os.posix_spawn('/bin/sleep', ['sleep', '600'], {})
    children.append(child)
    made = [getattr(loop, kind)() for kind in ('async_', 'fork', 'idle', 'prepare', 'check')]
    made += [loop.child(child), loop.stat('/'), loop.timer(600), loop.io(0, 1)]
    for watcher in made:
        watcher.start(print, watcher)
        known.append(weakref.ref(watcher))
    made[0].send()
    sleep(0.001)
children, known = [], []
get_hub()
before = len(open_descriptors())
for _ in range(3):
    in_thread(work)
    gc.collect()
for child in children:
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
pid = os.fork()
if pid == 0:
    os._exit(0)
wait_for(pid)
print([it() for it in known if it() is not None], len(open_descriptors()) - before)
"""
    )
    assert out.splitlines()[-1] == "[] 0"


def test_a_thread_that_forks_leaves_the_watchers_of_the_others_alone() -> None:
    out = output_of(
        PRELUDE
        + """
import gossamer.hub
told = []
loop = get_hub().loop
child = os.posix_spawn('/bin/true', ['true'], {})
watchers = [loop.fork(), loop.child(child), loop.async_(), loop.idle()]
for watcher in watchers:
    watcher.start(told.append, watcher)
def fork():
    own = get_hub().loop.fork()
    own.start(told.append, 'own')
    pid = os.fork()
    if pid == 0:
        turns()
        os._exit(0 if told == ['own'] else 1)
    return os.waitpid(pid, 0)[1]
print(in_thread(fork), watchers[1].active)
"""
    )
    assert out == "0 True\n"


# ---- children ----


def test_a_child_is_watched_without_a_descriptor_to_spare() -> None:
    out = output_of(
        PRELUDE
        + """
import gossamer.hub, resource
loop = get_hub().loop
reading, writing = os.pipe()
pid = os.fork()
if pid == 0:
    os.close(writing)
    os.read(reading, 1)
    os._exit(3)
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir('/proc/self/fd'))), hard))
hogs = []
try:
    while True:
        hogs.append(os.dup(0))
except OSError:
    pass
child = loop.child(pid)
child.start(lambda: print(os.waitstatus_to_exitcode(child.rstatus)))
turns()
print(child.active)
os.close(writing)
print(gossamer.wait(timeout=30), child.active)
"""
    )
    assert out == "True\n3\nTrue False\n"


def test_a_forked_process_is_not_told_of_its_siblings() -> None:
    out = output_of(
        PRELUDE
        + """
from gossamer.os import fork_and_watch
told = []
reading, writing = os.pipe()
first = fork_and_watch(told.append)
if first == 0:
    os.close(writing)
    os.read(reading, 1)
    os._exit(0)
watcher = get_hub().loop.child(first)
watcher.start(told.append, 2)
second = os.fork()
if second == 0:
    print(watcher.active, gossamer.wait(timeout=30), told)
    sys.stdout.flush()
    os._exit(0)
wait_for(second)
os.close(writing)
until(lambda: len(told) == 2)
print(watcher.active)
""".replace("from gossamer.os", "import gossamer\nfrom gossamer.os")
    )
    assert out == "False True []\nFalse\n"


def test_a_child_watcher_that_was_stopped_tells_nothing_and_leaves_the_status() -> None:
    child = os.posix_spawn("/bin/true", ["true"], {})
    descriptors = len(open_descriptors())
    seen: list[int] = []
    watcher = loop.child(child)
    watcher.start(seen.append, 1)
    watcher.stop()
    assert len(open_descriptors()) == descriptors
    assert os.waitpid(child, 0) == (child, 0)
    turns()
    assert seen == []


# ---- signals ----


def test_who_sets_a_handler_while_a_signal_is_watched_keeps_it() -> None:
    before = signal.getsignal(signal.SIGUSR2)
    watcher = loop.signal(signal.SIGUSR2)
    watcher.start(int)
    try:
        signal.signal(signal.SIGUSR2, signal.SIG_IGN)
        watcher.stop()
        assert signal.getsignal(signal.SIGUSR2) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGUSR2, before)


def test_a_signals_watcher_that_another_thread_stops_gives_the_handler_back() -> None:
    before = signal.getsignal(signal.SIGUSR2)
    watcher = loop.signal(signal.SIGUSR2)
    watcher.start(int)
    in_thread(watcher.stop)
    until(lambda: signal.getsignal(signal.SIGUSR2) is before)


def test_a_signal_is_watched_in_the_main_thread_alone() -> None:
    def start() -> bool:
        watcher = get_hub().loop.signal(signal.SIGUSR2)
        with pytest.raises(ValueError, match="main thread"):
            watcher.start(int)
        return watcher.active

    assert not in_thread(start)


def test_a_start_in_another_thread_than_the_loops_leaves_the_handler_as_it_is() -> None:
    before = signal.getsignal(signal.SIGUSR2)
    loops: list[Any] = []
    ending = threading.Event()

    def other() -> None:
        loops.append(get_hub().loop)
        ending.wait()

    thread = threading.Thread(target=other)
    thread.start()
    try:
        until(lambda: bool(loops))
        watcher = loops[0].signal(signal.SIGUSR2)
        with pytest.raises(error, match="another thread"):
            watcher.start(int)
        assert not watcher.active
        assert signal.getsignal(signal.SIGUSR2) is before
    finally:
        ending.set()
        thread.join()


# ---- files ----


def test_a_change_is_told_long_before_the_next_look(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("text")
    seen: list[tuple[bool, bool]] = []
    with loop.stat(str(path), interval=600) as watcher:
        assert (watcher.attr, watcher.prev, watcher.interval) == (None, None, 600)
        watcher.start(lambda: seen.append((watcher.prev is None, watcher.attr is None)))
        assert watcher.attr == path.stat()
        assert watcher.prev is None
        path.write_text("text of more letters")
        until(lambda: seen)
        other = tmp_path / "other"
        other.write_text("replaced")
        inode = other.stat().st_ino
        other.replace(path)
        until(lambda: watcher.attr is not None and watcher.attr.st_ino == inode)
        path.write_text("and written again")
        until(lambda: watcher.attr is not None and watcher.attr.st_size == 17)
        path.unlink()
        until(lambda: watcher.attr is None)
        path.write_text("")
        until(lambda: watcher.attr is not None)
    assert (False, True) in seen
    assert (True, False) in seen


def test_a_change_within_the_same_second_is_a_change(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("one")
    seen: list[int] = []
    with loop.stat(str(path), interval=0.005) as watcher:
        for second in (1_000_000_000, 1_000_000_000):
            watcher.start(seen.append, 1)
            os.utime(path, ns=(second * 10**9, second * 10**9 + len(seen)))
            count = len(seen)
            until(lambda count=count: len(seen) > count)  # type: ignore[misc]


def test_what_is_no_path_is_refused() -> None:
    with pytest.raises(TypeError):
        loop.stat(5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="null"):
        loop.stat("a\0b")


def test_a_stopped_watcher_of_a_file_leaves_no_descriptor(tmp_path: Path) -> None:
    descriptors = len(open_descriptors())
    watcher = loop.stat(str(tmp_path))
    for _ in range(3):
        watcher.start(int)
        turns()
        watcher.stop()
    assert len(open_descriptors()) == descriptors


# ---- the hub's own turns ----


@pytest.mark.parametrize("kind", ["idle", "prepare", "check"])
def test_watchers_of_the_loop_itself_fire_over_and_over(kind: str) -> None:
    seen: list[int] = []
    watcher = getattr(loop, kind)()
    watcher.start(seen.append, 1)
    until(lambda: len(seen) > 1)
    watcher.stop()
    turns()
    count = len(seen)
    sleep(0.03)
    assert len(seen) == count


def test_several_idle_watchers_all_have_their_turns() -> None:
    seen: list[int] = []
    watchers = [loop.idle() for _ in range(3)]
    for number, watcher in enumerate(watchers):
        watcher.start(seen.append, number)
    try:
        until(lambda: set(seen) == {0, 1, 2})
    finally:
        for watcher in watchers:
            watcher.stop()


def test_idle_comes_back_although_a_watcher_is_idle() -> None:
    watcher = loop.idle()
    watcher.start(int)
    try:
        with gossamer.Timeout(30):
            gossamer.idle()
    finally:
        watcher.stop()


def test_an_idle_watcher_waits_until_nobody_is_ready() -> None:
    seen: list[str] = []
    watcher = loop.idle()

    def fire() -> None:
        seen.append("idle")
        watcher.stop()

    def work() -> None:
        for _ in range(5):
            seen.append("work")
            sleep(0)

    watcher.start(fire)
    spawn(work).join()
    until(lambda: "idle" in seen)
    assert seen == ["work"] * 5 + ["idle"]


def test_prepare_comes_before_the_hub_sleeps_and_check_ahead_of_what_it_brought() -> None:
    seen: list[str] = []
    prepare, check, timer = loop.prepare(), loop.check(), loop.timer(0.005)
    prepare.start(seen.append, "prepare")
    check.start(seen.append, "check")
    timer.start(seen.append, "timer")
    until(lambda: "timer" in seen)
    prepare.stop()
    check.stop()
    assert seen[0] == "prepare"
    assert seen[seen.index("timer") - 1] == "check"


def test_watchers_of_turns_come_in_a_loop_that_is_driven_from_outside() -> None:
    assert (
        output_of(
            """
from gossamer import get_hub
loop = get_hub().loop
seen = []
for kind in ('prepare', 'check', 'idle'):
    getattr(loop, kind)().start(seen.append, kind)
print(loop.next_deadline())
loop.run(nowait=True)
loop.run(nowait=True)
print(sorted(set(seen)))
"""
        )
        == "0.0\n['check', 'idle', 'prepare']\n"
    )


def test_a_turn_that_a_busy_hub_takes_is_told_as_well() -> None:
    seen: list[str] = []
    prepare, check = loop.prepare(), loop.check()
    prepare.start(seen.append, "prepare")
    check.start(seen.append, "check")

    def busy() -> None:
        while len(set(seen)) < 2:
            sleep(0)

    with gossamer.Timeout(30):
        gossamer.joinall([spawn(busy), spawn(busy)])
    prepare.stop()
    check.stop()
