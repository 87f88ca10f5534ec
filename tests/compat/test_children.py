"""Child processes: who inherits the alias, and how a parent keeps it from them.

Inheriting needs the file that the installed package has in site-packages.
"""

import sys
from pathlib import Path

import pytest

from tests.compat.hook import needs_hook
from tests.support.children import output_of, run_child, run_command

pytestmark = needs_hook

ASK = "import gossamer.compat; print(gossamer.compat.installed())"

SERVED = "('greenlet', 'gevent')\n"


def child_answers(parent: str, *options: str) -> str:
    """What a child of a process that ran `parent` prints of its alias; options: those of the child's interpreter."""
    return output_of(f"{parent}\nimport subprocess, sys\nsubprocess.run([sys.executable, *{options!r}, '-c', {ASK!r}])")


def test_child_processes_inherit_the_alias() -> None:
    assert child_answers("import gossamer.compat; gossamer.compat.install()") == SERVED


def test_grandchildren_inherit_the_alias() -> None:
    between = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {ASK!r}])"
    assert (
        output_of(f"""
        import subprocess, sys, gossamer.compat
        gossamer.compat.install()
        subprocess.run([sys.executable, "-c", {between!r}])
    """)
        == SERVED
    )


def test_the_alias_wins_in_a_child_too(real_packages: Path) -> None:
    assert (
        output_of("""
        import subprocess, sys, gossamer.compat
        gossamer.compat.install()
        subprocess.run([sys.executable, "-c", "import greenlet; print(greenlet.__version__ != '0.1')"])
    """)
        == "True\n"
    )


@pytest.mark.parametrize(
    "parent",
    [
        pytest.param("", id="it never had it"),
        pytest.param("import gossamer.compat as c; c.install(); c.uninstall()", id="it has taken the alias away"),
        pytest.param("import gossamer.compat as c; c.install(children=False)", id="it has kept it for itself"),
        pytest.param(
            "import gossamer.compat as c, os; c.install(); del os.environ[c.ENVIRONMENT_VARIABLE]",
            id="it has removed the variable",
        ),
        pytest.param(
            "import gossamer.compat as c, os; c.install(); os.environ[c.ENVIRONMENT_VARIABLE] = ''",
            id="it has emptied the variable",
        ),
    ],
)
def test_a_child_has_no_alias_if_its_parent_says_so(parent: str) -> None:
    assert child_answers(parent) == "()\n"


def test_keeping_the_alias_from_children_does_not_touch_the_environment() -> None:
    assert (
        output_of("""
        import os, gossamer.compat
        before = dict(os.environ)
        gossamer.compat.install(children=False)
        print(gossamer.compat.installed(), dict(os.environ) == before)
    """)
        == "('greenlet', 'gevent') True\n"
    )


@pytest.mark.parametrize("option", ["-E", "-I", "-s", "-P", "-O"])
def test_options_that_isolate_the_interpreter_keep_the_alias(option: str) -> None:
    assert child_answers("import gossamer.compat; gossamer.compat.install()", option) == SERVED


def test_without_the_site_module_there_is_no_alias() -> None:
    ended = run_command(
        [sys.executable, "-S", "-c", "import sys; print('gossamer.compat' in sys.modules)"],
        environment={"GOSSAMER_COMPAT": "greenlet"},
    )
    assert (ended.status, ended.out, ended.err) == (0, "False\n", "")


@pytest.mark.parametrize("method", ["spawn", "forkserver", "fork"])
def test_processes_of_multiprocessing_inherit_the_alias(method: str, tmp_path: Path) -> None:
    script = tmp_path / "program.py"
    script.write_text(f"""
import multiprocessing

def look(queue):
    import gossamer.compat, greenlet
    queue.put((gossamer.compat.installed(), greenlet.__name__))

if __name__ == "__main__":
    import gossamer.compat
    gossamer.compat.install()
    context = multiprocessing.get_context({method!r})
    queue = context.SimpleQueue()
    process = context.Process(target=look, args=(queue,))
    process.start()
    print(queue.get())
    process.join()
""")
    ended = run_command([sys.executable, str(script)])
    assert (ended.status, ended.out) == (0, "(('greenlet', 'gevent'), 'greenlet')\n"), ended.describe()


def test_an_interpreter_without_the_variable_imports_nothing_of_gossamer_when_it_starts() -> None:
    assert output_of("import sys; print([name for name in sys.modules if name.startswith('gossamer')])") == "[]\n"


def test_a_child_inherits_lazily() -> None:
    assert (
        output_of(
            "import sys; print({'greenlet', 'gossamer._core', 'threading', 'socket'} & set(sys.modules))",
            environment={"GOSSAMER_COMPAT": "greenlet"},
        )
        == "set()\n"
    )


@pytest.mark.parametrize("value", ["eventlet", "greenlet,eventlet", "/some/path"])
def test_a_variable_that_makes_no_sense_is_one_line_and_the_program_runs(value: str) -> None:
    ended = run_child(ASK, environment={"GOSSAMER_COMPAT": value})
    assert (ended.status, ended.out) == (0, "()\n"), ended.describe()
    assert ended.err.startswith(f"gossamer: no alias from GOSSAMER_COMPAT={value}: unknown name ")
    assert ended.err.count("\n") == 1


@pytest.mark.parametrize(
    ("value", "served"),
    [
        ("greenlet", "('greenlet',)\n"),
        ("gevent", "('gevent',)\n"),
        ("greenlet,gevent", SERVED),
        (" greenlet , gevent ", SERVED),
        ("greenlet,", "('greenlet',)\n"),
    ],
)
def test_the_variable_names_what_is_served(value: str, served: str) -> None:
    ended = run_child(ASK, environment={"GOSSAMER_COMPAT": value})
    assert (ended.status, ended.out, ended.err) == (0, served, ""), ended.describe()
