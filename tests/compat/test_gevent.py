"""The module `gevent` that the alias serves: its submodules are Gossamer's, its versions are gevent's."""

import sys
from pathlib import Path

import pytest

from tests.support.children import output_of, run_command

INSTALL = """
import gossamer.compat
gossamer.compat.install()
"""


def answer(source: str) -> str:
    """What `source` prints in a child that has the alias."""
    return output_of(INSTALL + source).strip()


def test_it_has_a_recent_version_in_each_form() -> None:
    assert (
        answer("""
import gevent
from importlib.metadata import version
print(gevent.__name__, gevent.__version__ == version('gevent'), gevent.version_info[:2] >= (26, 9))
print('.'.join(map(str, gevent.version_info[:3])) == gevent.__version__, gevent.version_info.releaselevel)
""")
        == "gevent True True\nTrue final"
    )


@pytest.mark.parametrize(
    "name", ["monkey", "socket", "event", "lock", "queue", "server", "threadpool", "ssl", "pywsgi"]
)
def test_a_submodule_is_gossamers_under_both_names(name: str) -> None:
    assert (
        answer(f"""
from gevent import {name}
import gevent.{name}, gossamer.{name}, sys
print({name} is gevent.{name} is gossamer.{name} is sys.modules['gevent.{name}'])
""")
        == "True"
    )


def test_modules_of_the_standard_library_have_the_names_that_they_do_not_list_as_well() -> None:
    assert (
        answer("""
from gevent.socket import EBADF
from gevent import os, signal, ssl, subprocess, thread, threading
import subprocess as plain
print(EBADF, ssl._create_unverified_context, threading._DummyThread, subprocess.list2cmdline is plain.list2cmdline)
print(hasattr(threading, 'no_such_name'), hasattr(threading, '__path__'), os.environ is __import__('os').environ)
""").splitlines()[1]
        == "False False True"
    )


def test_submodules_are_there_without_being_imported() -> None:
    assert (
        answer("""
import gevent, sys
print('gevent.event' in sys.modules, hasattr(gevent, 'nothing'))
print(gevent.event.Event is sys.modules['gevent.event'].Event)
""")
        == "False False\nTrue"
    )


def test_what_gossamer_does_not_have_is_not_found() -> None:
    assert (
        answer("""
for name in ['gevent.tests', 'gevent.testing', 'gevent.monkey.nothing', 'gevent.nothing']:
    try:
        __import__(name)
    except ModuleNotFoundError as error:
        print(error.name == name)
try:
    from gevent import nothing
except ImportError as error:
    print(error)
""").splitlines()[:4]
        == ["True"] * 4
    )


def test_importing_it_imports_nothing_that_blocks() -> None:
    assert (
        answer("""
import sys
before = set(sys.modules)
import gevent
unwanted = 'socket ssl threading select selectors signal subprocess queue gossamer._core'.split()
print(set(unwanted) & set(sys.modules) - before)
""")
        == "set()"
    )


def test_patching_as_programs_for_gevent_do_lets_their_threads_overlap() -> None:
    assert (
        answer("""
from gevent import monkey; monkey.patch_all()
import threading, time
order = []
def nap(name, seconds):
    time.sleep(seconds)
    order.append((name, threading.get_native_id() == threading.main_thread().native_id))
threads = [threading.Thread(target=nap, args=args) for args in [('late', 0.2), ('early', 0.01)]]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(order, monkey.is_module_patched('socket'))
""")
        == "[('early', True), ('late', True)] True"
    )


def test_its_monkey_module_runs_programs(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text("import sys; from gevent import monkey; print(monkey.is_module_patched('time'), sys.argv[1:])\n")
    start = (
        "import sys, gossamer.compat, runpy; gossamer.compat.install(); "
        "sys.argv[0:1] = ['-m']; runpy.run_module('gevent.monkey', run_name='__main__', alter_sys=True)"
    )
    ended = run_command([sys.executable, "-c", start, "--no-dns", str(program), "x"])
    assert (ended.status, ended.out) == (0, "True ['x']\n"), ended.describe()
