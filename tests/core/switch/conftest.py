"""What every test of the switch core may rely on.

`beyond_greenlet` marks behaviour that greenlet has not got, or has otherwise: everything else is fixed by
greenlet's documentation and must hold on greenlet too (`-m "not beyond_greenlet"` with greenlet in our place).
"""

import gc
from collections.abc import Iterator

import pytest

from gossamer.switching import getcurrent, settrace


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker of this folder."""
    config.addinivalue_line("markers", "beyond_greenlet: behaviour that greenlet has not got, or has otherwise")


@pytest.fixture(autouse=True)
def _every_test_leaves_the_main_greenlet_current() -> Iterator[None]:
    before = getcurrent()
    yield
    settrace(None)
    assert getcurrent() is before


@pytest.fixture
def settled() -> None:
    """No garbage of earlier tests is left to be found during this one: for tests that count."""
    gc.collect()
