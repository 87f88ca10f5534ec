"""The table of gevent's modules in docs/migration.md says what is there and what is missing."""

import re

from tests.support.children import ROOT, output_of

ROW = re.compile(r"^\| `gevent(?:\.(?P<name>\w+))?` \| (?P<state>there|missing) \|", re.MULTILINE)


def test_the_table_says_which_of_gevents_modules_are_there() -> None:
    rows = {found["name"]: found["state"] for found in ROW.finditer((ROOT / "docs" / "migration.md").read_text())}
    assert rows.pop(None) == "there"
    printed = output_of(
        """
        import importlib.util
        import sys
        import gossamer.compat
        gossamer.compat.install()
        for name in sys.argv[1:]:
            print(name, "missing" if importlib.util.find_spec(f"gevent.{name}") is None else "there")
        """,
        *rows,
    )
    assert dict(line.split() for line in printed.splitlines()) == rows


def test_the_table_has_every_module_that_the_alias_knows() -> None:
    names = output_of(
        """
        from gossamer.compat._table import PACKAGES
        print(*(name.partition(".")[2] for name in PACKAGES["gevent"].modules))
        """
    ).split()
    page = (ROOT / "docs" / "migration.md").read_text()
    assert [name for name in names if f"| `gevent.{name}` |" not in page] == []
