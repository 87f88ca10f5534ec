"""What every test of the alias may rely on.

The alias changes how a process imports, so each test looks at it in a child process. What the tests take for the real
packages are stand-ins in a folder of their own, so that it makes no difference whether the real ones are installed.
"""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _no_alias_to_inherit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GOSSAMER_COMPAT", raising=False)


@pytest.fixture
def real_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Child processes find a greenlet 0.1 and a gevent 0.1 that are not ours; the folder they are in."""
    folder = tmp_path / "real"
    for name in ("greenlet", "gevent"):
        package = folder / name
        package.mkdir(parents=True)
        (package / "__init__.py").write_text('__version__ = "0.1"\n')
        (package / "tests.py").write_text("")
        metadata = folder / f"{name}-0.1.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1\n")
    monkeypatch.setenv("PYTHONPATH", str(folder))
    return folder
