"""tools/environment.py: what it does again, and what it leaves as it is."""

import json
import os
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

import pytest

from tools import environment

PROJECT = """
[build-system]
requires = ["backend>=1"]
[project]
dependencies = ["library>=2"]
[dependency-groups]
build = ["ninja"]
test = ["runner"]
"""


class Recorded(environment.Environment):
    """An environment that writes down what would be done."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.did: list[str] = []
        self.fails = False

    def _make(self) -> None:
        super()._make()
        self.did.append("make")

    def _pip(self, command: str, *arguments: str) -> None:
        if self.fails:
            raise KeyboardInterrupt
        self.did.append("package" if str(environment.ROOT) in arguments else "tools")
        self.build.mkdir(exist_ok=True)

    def update_again(self, *setup_arguments: str) -> list[str]:
        self.did.clear()
        self.update(["test"], list(setup_arguments))
        return self.did


def make_empty_environment(directory: Path, **_: Any) -> None:
    directory.mkdir()
    (directory / "pyvenv.cfg").touch()


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "tree"
    (root / "src").mkdir(parents=True)
    (root / "pyproject.toml").write_text(PROJECT)
    (root / "src" / "module.c").write_text("int one;")
    monkeypatch.setattr(environment, "ROOT", root)
    monkeypatch.setattr(venv, "create", make_empty_environment)
    return root


@pytest.fixture
def made(tree: Path) -> Recorded:
    it = Recorded(tree / ".venv")
    assert it.update_again() == ["make", "tools", "package"]
    return it


def rewrite(path: Path, text: str, *, age: float) -> None:
    """Give a file another content and a time `age` seconds after the Unix epoch."""
    path.write_text(text)
    os.utime(path, (age, age))


def test_nothing_is_done_twice(made: Recorded) -> None:
    assert made.update_again() == []


@pytest.mark.parametrize("age", [1, 4_000_000_000], ids=["older than the build", "newer than the build"])
def test_a_changed_source_is_built_whatever_its_time_says(made: Recorded, tree: Path, age: float) -> None:
    rewrite(tree / "src" / "module.c", "int two;", age=age)
    assert made.update_again() == ["package"]
    assert made.update_again() == []


def test_a_source_that_came_or_went_is_noticed(made: Recorded, tree: Path) -> None:
    (tree / "src" / "other.py").write_text("")
    assert made.update_again() == ["package"]
    (tree / "src" / "other.py").unlink()
    assert made.update_again() == ["package"]


def test_a_newer_time_alone_builds_nothing(made: Recorded, tree: Path) -> None:
    os.utime(tree / "src" / "module.c", (4_000_000_000, 4_000_000_000))
    assert made.update_again() == []


def test_the_build_goes_on_from_the_last_one_when_ninja_can_tell_what_changed(made: Recorded, tree: Path) -> None:
    kept = made.build / "object"
    kept.touch()
    rewrite(tree / "src" / "module.c", "int two;", age=4_000_000_000)
    made.update_again()
    assert kept.exists()


def test_the_build_starts_afresh_when_a_changed_file_looks_older_than_the_last_one(made: Recorded, tree: Path) -> None:
    kept = made.build / "object"
    kept.touch()
    rewrite(tree / "src" / "module.c", "int two;", age=1)
    made.update_again()
    assert not kept.exists()


def test_the_build_starts_afresh_with_other_setup_arguments(made: Recorded) -> None:
    kept = made.build / "object"
    kept.touch()
    assert made.update_again("-Db_sanitize=address") == ["package"]
    assert not kept.exists()


def test_an_interrupted_step_is_done_again(made: Recorded, tree: Path) -> None:
    rewrite(tree / "src" / "module.c", "int two;", age=1)
    made.fails = True
    with pytest.raises(KeyboardInterrupt):
        made.update_again()
    made.fails = False
    assert made.update_again() == ["package"]


def test_other_requirements_are_installed(made: Recorded, tree: Path) -> None:
    (tree / "pyproject.toml").write_text(PROJECT.replace("runner", "runner>=2"))
    assert made.update_again() == ["tools", "package"]


def test_another_interpreter_gets_a_new_environment(made: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version", "another")
    assert made.update_again() == ["make", "tools", "package"]


def test_an_environment_with_a_damaged_record_is_made_anew(made: Recorded) -> None:
    made.record_file.write_text(json.dumps({"made for": 1})[:-1])
    assert made.update_again() == ["make", "tools", "package"]


def test_the_requirements_are_the_builds_the_packages_and_the_groups(tree: Path) -> None:
    assert environment.requirements(["test"]) == [environment.PIP, "backend>=1", "library>=2", "ninja", "runner"]


def test_an_unknown_group_is_an_error_that_lists_the_known_ones(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert environment.main([str(tree / ".venv"), "--group", "tset"]) == 2
    assert "no dependency group 'tset'; it has: build, test" in capsys.readouterr().err


def test_a_folder_that_is_not_an_environment_is_not_removed(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    precious = tree / "src"
    assert environment.main([str(precious)]) == 2
    assert "is not a virtual environment" in capsys.readouterr().err
    assert (precious / "module.c").exists()


def test_an_interpreter_older_than_3_11_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 10, 4, "final", 0))
    assert environment.main(["anywhere"]) == 2
    assert "is Python 3.10; Gossamer needs CPython 3.11 or newer" in capsys.readouterr().err


def test_what_pip_cannot_install_is_an_error_that_says_what_to_do(
    tree: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def pip(*arguments: object, **_: object) -> None:
        raise subprocess.CalledProcessError(1, "pip")

    monkeypatch.setattr(subprocess, "run", pip)
    assert environment.main([str(tree / "environment")]) == 2
    assert "PIP_FIND_LINKS" in capfd.readouterr().err
