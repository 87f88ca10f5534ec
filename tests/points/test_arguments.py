"""What a blocking point says of wrong arguments is what the function that it replaces says of them."""

import importlib
import json
import sys
from pathlib import Path

import pytest

from gossamer import _core
from tests.support.children import run_command
from tests.support.scale import patience

# Whose points are in modules that are imported at need; and one that makes classes, of whatever it is given.
MODULES = ["_multiprocessing", "_posixsubprocess", "_ssl", "_sqlite3", "select", "fcntl", "_queue"]
NOT_CALLED = {"builtins.__build_class__"}


def points() -> list[str]:
    for name in MODULES:
        importlib.import_module(name)
    _core.get_hub()
    _core.sleep(0)
    return [name for name, *_ in _core.points() if name not in NOT_CALLED]


def answers(how: str, place: Path) -> dict[str, str]:
    place.mkdir()
    child = [sys.executable, "-m", "tests.points.arguments_child", how, str(place), json.dumps(points())]
    ended = run_command([*child, str(patience(60))], seconds=90)
    assert ended.status == 0, ended.describe()
    return dict(json.loads((place / "answers.json").read_text()))


@pytest.fixture(scope="module")
def native(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return answers("native", tmp_path_factory.mktemp("arguments") / "native")


@pytest.fixture(scope="module")
def green(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return answers("green", tmp_path_factory.mktemp("arguments") / "green")


def test_wrong_arguments_are_refused_in_the_same_words(native: dict[str, str], green: dict[str, str]) -> None:
    different = [f"{call}\n  {said}\n  {green.get(call)}" for call, said in native.items() if green.get(call) != said]
    assert not different, "\n".join(different[:20])


def test_every_point_was_called_and_refused_something(native: dict[str, str]) -> None:
    refused = {call.split(": ")[0] for call, said in native.items() if not said.startswith("returned")}
    assert set(points()) - refused <= {"_imp.exec_dynamic", "_imp.exec_builtin"}
