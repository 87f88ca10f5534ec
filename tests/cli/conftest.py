"""What the tests of the command line share: a folder for programs, and the two ways to start `gossamer`.

Every test runs in a folder of its own, which is the current one, and looks at a child process.
"""

from pathlib import Path

import pytest

from tests.cli.launching import COMMAND, MODULE


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, empty."""
    monkeypatch.delenv("GOSSAMER_COMPAT", raising=False)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    current = tmp_path / "current"
    current.mkdir()
    monkeypatch.chdir(current)
    return current


@pytest.fixture(params=[pytest.param(MODULE, id="python -m gossamer"), pytest.param(COMMAND, id="gossamer")])
def gossamer(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """The words that start `gossamer`, both ways."""
    launcher: tuple[str, ...] = request.param
    return launcher
