"""The list of what can block names every function that parks."""

from tests.support.children import ROOT, output_of

FUNCTIONS = """
from gossamer import _core
_core.get_hub()
_core.points_install(True)
for name, _, kind, _ in _core.points():
    if kind == "waiter" and name.count(".") == 1:
        print(name.removeprefix("_"))
"""


def test_every_function_that_parks_is_in_the_list() -> None:
    text = (ROOT / "docs" / "blocking-points.md").read_text()
    functions = output_of(FUNCTIONS).split()
    assert len(functions) > 30
    assert [name for name in functions if name.split(".")[1] not in text] == []
