"""sqlite3 in whole programs: what they had made before Gossamer came, the group switched off, the hub, their end."""

from tests.support.children import output_of


def test_a_switched_off_group_blocks_as_the_original_does() -> None:
    out = output_of(
        """
import os, sqlite3, tempfile
from gossamer import _core
_core.get_hub()
path = os.path.join(tempfile.mkdtemp(), 'x.db')
first, second = sqlite3.connect(path), sqlite3.connect(path, timeout=0.1)
first.execute('CREATE TABLE t (x)')
first.commit()
first.execute('INSERT INTO t VALUES (1)')
_core.points_switch('sqlite3', False)
order = []
def write():
    try:
        second.execute('INSERT INTO t VALUES (2)')
    except sqlite3.OperationalError as error:
        order.append(str(error))
threads = [_core.spawn(write), _core.spawn(lambda: order.append('other'))]
for thread in threads:
    thread.join()
print(order)
"""
    )
    assert out == "['database is locked', 'other']\n"


BEFORE = """
import os, sqlite3, sys, tempfile
path = os.path.join(tempfile.mkdtemp(), 'x.db')
first, second = (sqlite3.connect(path, isolation_level=None) for _ in range(2))
first.execute('CREATE TABLE t (x)')
execute = second.execute
class Cursor(sqlite3.Cursor):
    pass
assert 'gossamer' not in sys.modules
from gossamer import _core
_core.get_hub()
first.execute('BEGIN IMMEDIATE')
"""


def test_connections_and_methods_that_were_there_before_are_reached() -> None:
    out = output_of(
        BEFORE
        + """
order = []
def write():
    execute('INSERT INTO t VALUES (2)')
    order.append('written')
def free():
    order.append('free')
    first.execute('COMMIT')
for thread in [_core.spawn(write), _core.spawn(free)]:
    thread.join()
print(order)
"""
    )
    assert out == "['free', 'written']\n"


def test_the_interpreter_ends_while_one_is_waiting() -> None:
    out = output_of(BEFORE + "_core.spawn(execute, 'INSERT INTO t VALUES (2)'); _core.sleep(0.01); print('end')")
    assert out == "end\n"


def test_a_callback_of_the_hub_sleeps_as_an_ordinary_thread_does() -> None:
    out = output_of(
        BEFORE
        + """
second.execute('PRAGMA busy_timeout = 50')
said = []
def write():
    try:
        execute('INSERT INTO t VALUES (2)')
    except sqlite3.OperationalError as error:
        said.append(str(error))
_core.get_hub().run_callback(write)
_core.sleep(0.01)
print(said)
"""
    )
    assert out == "['database is locked']\n"
