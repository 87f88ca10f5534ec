"""The Makefile tells of its targets, and has those that it tells of."""

import re
import shutil
import subprocess

import pytest

from tests.support.children import ROOT

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="there is no make here")


def make(*arguments: str) -> str:
    """What make prints. It is not to fail."""
    return subprocess.run(["make", *arguments], cwd=ROOT, text=True, capture_output=True, check=True).stdout


def test_make_alone_prints_what_there_is_to_make() -> None:
    told = make()
    assert "#" not in told
    assert {"serve", "test", "bench", "soak", "docs", "clean"} <= targets(told)


def test_each_target_that_it_tells_of_exists() -> None:
    for target in sorted(targets(make())):
        assert make("--dry-run", target)


def test_the_readme_names_targets_that_exist() -> None:
    named = set(re.findall(r"^make (\w+)", (ROOT / "README.md").read_text(), re.MULTILINE))
    assert named <= targets(make())


def targets(text: str) -> set[str]:
    return set(re.findall(r"^ +make (\w+)", text, re.MULTILINE))
