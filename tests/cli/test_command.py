"""The `gossamer` command itself."""

from importlib.metadata import version

from tests.support.children import output_of, run_command


def test_the_version_is_that_of_the_installed_package(gossamer: tuple[str, ...]) -> None:
    ended = run_command([*gossamer, "--version"])
    assert (ended.status, ended.out, ended.err) == (0, f"gossamer {version('gossamer')}\n", "")


def test_help_names_every_command(gossamer: tuple[str, ...]) -> None:
    ended = run_command([*gossamer, "--help"])
    assert ended.status == 0
    assert "\n  run " in ended.out


def test_no_command_is_answered_with_the_help_and_status_2(gossamer: tuple[str, ...]) -> None:
    ended = run_command([*gossamer])
    assert (ended.status, ended.out) == (2, "")
    assert ended.err.startswith("usage: gossamer ")


def test_an_unknown_command_is_refused_with_those_there_are(gossamer: tuple[str, ...]) -> None:
    ended = run_command([*gossamer, "walk"])
    assert (ended.status, ended.out) == (2, "")
    assert "walk" in ended.err
    assert "run" in ended.err.splitlines()[-1]


def test_help_of_a_command_is_its_own(gossamer: tuple[str, ...]) -> None:
    ended = run_command([*gossamer, "run", "--help"])
    assert ended.status == 0
    assert ended.out.startswith("usage: gossamer run ")
    assert "--as-gevent" in ended.out


def test_the_command_imports_no_subcommand_before_one_is_asked_for() -> None:
    assert (
        output_of("""
        import sys
        import gossamer.cli
        print([name for name in sys.modules if name.startswith("gossamer.cli.")])
    """)
        == "[]\n"
    )
