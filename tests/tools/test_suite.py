"""What tests/conftest.py arranges for the whole suite."""

import sys

from tests.support.children import ROOT, run_command


def test_the_suite_can_be_interrupted_where_a_shell_had_its_signals_ignored() -> None:
    """As it does for its background jobs: programs under test would inherit that."""
    test = str(ROOT / "tests/cli/test_run_end.py")
    suite = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-k", "interrupted_program_dies_by", test]
    ended = run_command(["sh", "-c", 'trap "" INT QUIT; exec "$@"', "sh", *suite])
    assert ended.status == 0, ended.describe()
    assert "2 passed" in ended.out
