"""Installing the alias and taking it away: which `greenlet` and `gevent` a process gets."""

from pathlib import Path

import pytest

from tests.support.children import output_of, run_child


def test_greenlet_is_gossamers_once_the_alias_is_installed() -> None:
    assert output_of("""
        import gossamer.compat
        print(gossamer.compat.install())
        print(gossamer.compat.installed())
        import greenlet, gossamer.switching
        print(greenlet.greenlet is gossamer.switching.greenlet)
    """).splitlines() == ["('greenlet', 'gevent')", "('greenlet', 'gevent')", "True"]


def test_the_alias_wins_over_a_real_package_that_is_installed(real_packages: Path) -> None:
    assert (
        output_of("""
        import gossamer.compat
        gossamer.compat.install()
        import greenlet
        print(greenlet.__version__ != "0.1")
    """)
        == "True\n"
    )


def test_without_the_alias_the_real_package_is_found(real_packages: Path) -> None:
    assert (
        output_of("""
        import gossamer.compat
        print(gossamer.compat.installed())
        import greenlet
        print(greenlet.__version__)
    """)
        == "()\n0.1\n"
    )


def test_importing_a_real_package_first_is_one_error_that_names_it_and_changes_nothing(real_packages: Path) -> None:
    out = output_of("""
        import os, sys
        import greenlet
        import gossamer.compat
        finders = list(sys.meta_path)
        try:
            gossamer.compat.install()
        except gossamer.compat.AliasError as error:
            print(error)
        print(finders == sys.meta_path, gossamer.compat.installed(), "GOSSAMER_COMPAT" in os.environ)
    """)
    message, state = out.splitlines()
    assert "'greenlet' was imported already" in message
    assert str(real_packages / "greenlet" / "__init__.py") in message
    assert "before anything imports it" in message
    assert state == "True () False"


def test_installing_again_is_harmless_and_keeps_the_finder_first() -> None:
    assert (
        output_of("""
        import sys
        import gossamer.compat
        gossamer.compat.install()
        import greenlet
        ours = sys.meta_path[0]
        class Other:
            def find_spec(self, name, path=None, target=None):
                return None
        sys.meta_path.insert(0, Other())
        print(gossamer.compat.install(), sys.meta_path.count(ours), sys.meta_path[0] is ours)
        print(sys.modules["greenlet"] is greenlet)
    """)
        == "('greenlet', 'gevent') 1 True\nTrue\n"
    )


def test_a_single_name_may_be_given_as_a_string() -> None:
    assert output_of("import gossamer.compat; print(gossamer.compat.install('greenlet'))") == "('greenlet',)\n"


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("['eventlet']", "unknown name 'eventlet': the alias can serve 'greenlet' and 'gevent'"),
        ("['greenlet', 'greenlets']", "unknown name 'greenlets': the alias can serve 'greenlet' and 'gevent'"),
        ("[]", "no name given: the alias can serve 'greenlet' and 'gevent'"),
    ],
)
def test_a_name_that_cannot_be_served_ever_is_refused(names: str, message: str) -> None:
    assert (
        output_of(f"""
        import gossamer.compat
        try:
            gossamer.compat.install({names})
        except ValueError as error:
            print(error)
        print(gossamer.compat.installed())
    """)
        == f"{message}\n()\n"
    )


WITHOUT_GEVENT = """
import gossamer.compat
from gossamer.compat import _table
_table.PACKAGES.pop("gevent", None)
"""


def test_a_package_without_modules_to_serve_is_left_to_the_real_one(real_packages: Path) -> None:
    assert (
        output_of(
            WITHOUT_GEVENT
            + """
print(gossamer.compat.install(["greenlet", "gevent"]))
import greenlet, gevent
print(greenlet.__version__ == "0.1", gevent.__version__ == "0.1")
"""
        )
        == "('greenlet',)\nFalse True\n"
    )


def test_asking_only_for_a_package_without_modules_to_serve_is_one_error() -> None:
    assert (
        output_of(
            WITHOUT_GEVENT
            + """
try:
    gossamer.compat.install(["gevent"])
except gossamer.compat.AliasError as error:
    print(error)
"""
        )
        == "this release of Gossamer has no modules to serve as gevent; it can serve greenlet\n"
    )


def test_uninstalling_brings_the_real_package_back(real_packages: Path) -> None:
    assert (
        output_of("""
        import os, sys
        import gossamer.compat
        gossamer.compat.install()
        import greenlet._greenlet
        ours = greenlet
        gossamer.compat.uninstall()
        import greenlet
        print(greenlet.__version__, gossamer.compat.installed(), "GOSSAMER_COMPAT" in os.environ)
        print(ours.getcurrent() is not None, "greenlet._greenlet" in sys.modules)
    """)
        == "0.1 () False\nTrue False\n"
    )


def test_the_alias_can_be_installed_again_after_it_was_taken_away() -> None:
    assert (
        output_of("""
        import gossamer.compat
        gossamer.compat.uninstall()
        for _ in range(3):
            gossamer.compat.install()
            import greenlet
            print(greenlet.__file__ is not None, gossamer.compat.installed())
            gossamer.compat.uninstall()
    """)
        == "True ('greenlet', 'gevent')\n" * 3
    )


def test_installing_imports_nothing_that_blocks_and_no_served_module() -> None:
    unwanted = "socket ssl threading select selectors signal subprocess queue greenlet gevent gossamer._core"
    assert (
        output_of(f"""
        import sys
        before = set(sys.modules)
        import gossamer.compat
        gossamer.compat.install()
        new = set(sys.modules) - before
        print(sorted(new & set({unwanted.split()!r})), sorted(name for name in new if name.startswith("gossamer.")))
    """)
        == "[] ['gossamer.compat', 'gossamer.compat._finder', 'gossamer.compat._table']\n"
    )


def test_importing_greenlet_imports_nothing_of_the_standard_library_that_blocks() -> None:
    assert (
        output_of("""
        import sys
        before = set(sys.modules)
        import gossamer.compat
        gossamer.compat.install()
        import greenlet, greenlet._greenlet
        print(sorted((set(sys.modules) - before) & {"socket", "ssl", "threading", "select", "signal", "subprocess"}))
    """)
        == "[]\n"
    )


def test_threads_that_import_at_once_get_the_same_module() -> None:
    ended = run_child("""
        import threading
        import gossamer.compat
        gossamer.compat.install()
        gate = threading.Barrier(8)
        found = []
        def look():
            gate.wait()
            import greenlet._greenlet
            found.append((greenlet, greenlet._greenlet))
        threads = [threading.Thread(target=look) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print(len(found), len(set(found)))
    """)
    assert (ended.status, ended.out) == (0, "8 1\n"), ended.describe()
