"""gossamer.util: text about what runs, and helpers for functions."""

import io
import traceback

import pytest

from gossamer import config, getcurrent, sleep, spawn, spawn_raw
from gossamer.util import GreenletTree, assert_switches, format_run_info, print_run_info, wrap_errors
from tests.support.children import output_of
from tests.support.runtime import turns


def waits_here() -> None:
    sleep(60)


def test_the_run_info_says_where_each_greenlet_stands() -> None:
    it = spawn(waits_here)
    turns(1)
    lines = format_run_info()
    assert any(repr(it) in line for line in lines)
    assert any("in waits_here" in line for line in lines)
    assert any(line.startswith("Thread 0x") for line in lines)
    assert not any("in waits_here" in line for line in format_run_info(greenlet_stacks=False, thread_stacks=False))
    stream = io.StringIO()
    print_run_info(limit=1, file=stream)
    assert "in waits_here" in stream.getvalue()
    it.kill()


def test_errors_of_the_kinds_that_are_named_are_returned() -> None:
    function = wrap_errors((KeyError, ValueError), int)
    assert function("3") == 3
    assert isinstance(function("three"), ValueError)
    assert function.func is int
    assert function.__name__ == "int"
    assert repr(function) == repr(int)
    with pytest.raises(TypeError):
        function(None)


def test_a_block_that_lets_others_run_passes() -> None:
    with assert_switches(), assert_switches():
        spawn(int).join()
    with assert_switches(hub_only=True):
        sleep(0.001)


def test_a_block_that_lets_nobody_run_is_an_error() -> None:
    with pytest.raises(AssertionError, match="did not switch"), assert_switches():
        traceback.extract_stack()


def tree_of(greenlet: object) -> GreenletTree:
    """The tree whose root it is, somewhere in the forest."""
    trees = GreenletTree.forest()
    while trees:
        tree = trees.pop()
        if tree.greenlet is greenlet:
            return tree
        trees += tree.child_trees
    raise LookupError(greenlet)


def test_a_tree_has_those_below_that_it_started() -> None:
    def start_another() -> None:
        children.append(spawn(waits_here))
        sleep(60)

    children = [spawn(start_another)]
    turns(2)
    parent, child = children
    tree = tree_of(parent)
    assert [below.greenlet for below in tree.child_trees] == [child]
    assert not tree.root
    assert GreenletTree.current_tree().root
    assert (
        str(tree)
        == f"{parent!r}\n :    Parent: {parent.parent!r}\n +--- {child!r}\n       :    Parent: {child.parent!r}"
    )
    assert "in waits_here" in tree.format()
    parent.kill()
    child.kill()


def test_a_tree_says_where_it_was_started_if_that_is_tracked_and_what_is_shared_in_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(config, "track_greenlet_tree", True)
    it = spawn(waits_here)
    it.spawn_tree_locals["request"] = 7
    turns(1)
    text = tree_of(it).format()
    assert "Spawned at:" in text
    assert "test_a_tree_says" in text
    assert "Spawn Tree Locals: {'request': 7}" in text
    it.kill()


def test_a_raw_greenlet_knows_who_started_it_and_shares_its_tree_locals() -> None:
    seen: list[object] = []

    def start_raw() -> None:
        getcurrent().spawn_tree_locals["request"] = 7  # type: ignore[attr-defined]
        spawn_raw(lambda: seen.extend([getcurrent().spawning_greenlet(), dict(getcurrent().spawn_tree_locals)]))  # type: ignore[attr-defined]
        sleep(0)

    it = spawn(start_raw)
    it.join()
    assert seen == [it, {"request": 7}]


def test_assert_switches_insists_on_turns_that_are_short_enough() -> None:
    with assert_switches(max_blocking_time=60):
        sleep(0)
    with pytest.raises(AssertionError, match="no other greenlet had a turn"), assert_switches(max_blocking_time=0):
        sleep(0)


def test_a_setting_may_be_changed_by_its_name() -> None:
    before = config.max_blocking_time
    config.set("max_blocking_time", 3.5)
    assert config.max_blocking_time == 3.5
    config.set("max_blocking_time", before)
    with pytest.raises(AttributeError, match="no setting named 'nothing'"):
        config.set("nothing", 1)


def test_a_long_line_of_greenlets_each_started_by_the_one_before_is_shown() -> None:
    source = """
        import gossamer
        from gossamer.util import GreenletTree, format_run_info
        alive = []
        def start(count):
            alive.append(gossamer.spawn(start, count - 1) if count else None)
            gossamer.sleep(600)
        first = gossamer.spawn(start, 1500)
        while len(alive) < 1501:
            gossamer.sleep(0)
        lines = format_run_info(thread_stacks=False, greenlet_stacks=False)
        print(sum('+--- <Greenlet' in line for line in lines) >= 1500)
        print(str(GreenletTree.current_tree()).count('+---') >= 1500)
        """
    assert output_of(source) == "True\nTrue\n"
