"""What the alias serves: names, identity, loaders, metadata, the capsule."""

from pathlib import Path

import pytest

from tests.support.children import output_of

INSTALL = """
import gossamer.compat
gossamer.compat.install()
"""


def answer(source: str) -> str:
    """What `source` prints in a child that has the alias."""
    return output_of(INSTALL + source).strip()


def test_the_module_is_called_greenlet() -> None:
    assert answer("import greenlet; print(greenlet.__name__, repr(greenlet).split()[1])") == "greenlet 'greenlet'"


def test_the_version_reads_as_a_recent_release_part_by_part() -> None:
    parts = answer("import greenlet; print(greenlet.__version__)").split(".")
    assert (3, 5) <= tuple(int(part) for part in parts) < (4,)


def test_every_public_name_of_greenlet_is_there() -> None:
    names = "greenlet getcurrent GreenletExit error settrace gettrace GREENLET_USE_GC GREENLET_USE_TRACING"
    assert (
        answer(f"""
from greenlet import {", ".join(names.split())}, GREENLET_USE_CONTEXT_VARS, GREENLET_USE_STANDARD_THREADING, _C_API
import greenlet as module
print(sorted(set({names.split()!r}) - set(module.__all__)), sorted(n for n in module.__all__ if not hasattr(module, n)))
""")
        == "[] []"
    )


def test_what_it_offers_are_gossamers_own_objects() -> None:
    assert (
        answer("""
import greenlet, gossamer.switching as switching
names = [name for name in greenlet.__all__ if hasattr(switching, name) and not name.startswith("_")]
print("greenlet" in names, all(getattr(greenlet, name) is getattr(switching, name) for name in names))
""")
        == "True True"
    )


@pytest.mark.parametrize("first", ["gossamer._core", "greenlet._greenlet"])
def test_an_aliased_module_is_one_object_under_both_names_and_keeps_its_own_spec(first: str) -> None:
    assert (
        answer(f"""
import {first}
import greenlet._greenlet
import gossamer._core
import sys
module = sys.modules["greenlet._greenlet"]
print(module is sys.modules["gossamer._core"], module is greenlet._greenlet, module is gossamer._core)
print(module.__name__, module.__spec__.name, module.__loader__ is module.__spec__.loader)
""")
        == "True True True\ngossamer._core gossamer._core True"
    )


def test_the_c_interface_is_found_as_a_compiled_user_finds_it() -> None:
    assert (
        answer("""
import ctypes
find = ctypes.pythonapi.PyCapsule_Import
find.argtypes, find.restype = [ctypes.c_char_p, ctypes.c_int], ctypes.c_void_p
print(bool(find(b"greenlet._C_API", 0)))
import greenlet, greenlet._greenlet
print(greenlet._C_API is greenlet._greenlet._C_API)
""")
        == "True\nTrue"
    )


@pytest.mark.parametrize("name", ["greenlet", "GreenletExit", "error"])
def test_classes_pickled_with_the_alias_are_found_without_it(name: str) -> None:
    pickled = answer(f"import greenlet, pickle; print(pickle.dumps(greenlet.{name}).hex())")
    assert (
        output_of(f"""
        import pickle, gossamer.switching
        print(pickle.loads(bytes.fromhex({pickled!r})) is gossamer.switching.{name})
    """)
        == "True\n"
    )


def test_classes_pickled_under_the_name_of_greenlet_are_found_with_the_alias() -> None:
    assert (
        answer("""
import pickle, gossamer.switching
print(pickle.loads(b"cgreenlet\\ngreenlet\\n.") is gossamer.switching.greenlet)
print(pickle.loads(b"cgreenlet\\nGreenletExit\\n.") is gossamer.switching.GreenletExit)
""")
        == "True\nTrue"
    )


@pytest.mark.parametrize("name", ["greenlet.tests", "greenlet.nothing", "greenlet._greenlet.nothing"])
def test_a_module_that_is_not_served_is_not_found_in_the_real_package_either(real_packages: Path, name: str) -> None:
    assert (
        answer(f"""
try:
    import {name}
except ModuleNotFoundError as error:
    print(error.name)
""")
        == name
    )


@pytest.mark.parametrize(
    "name", ["greenlet.tests", "greenlet.tests.test_all", "greenletx", "gevent", "gevent.tests", "json", "gossamer"]
)
def test_the_finder_has_no_answer_for_names_that_are_not_served(name: str) -> None:
    assert (
        output_of(f"""
        import sys
        import gossamer.compat
        gossamer.compat.install("greenlet")
        print(sys.meta_path[0].find_spec({name!r}, None, None))
    """)
        == "None\n"
    )


def test_metadata_answers_with_the_same_version() -> None:
    assert (
        answer("""
import importlib.metadata as metadata, greenlet
print(metadata.version("greenlet") == metadata.version("Greenlet") == greenlet.__version__)
print(metadata.metadata("greenlet")["Name"], metadata.requires("greenlet"), metadata.files("greenlet"))
print("greenlet" in metadata.packages_distributions()["greenlet"])
print("greenlet" in {found.name for found in metadata.distributions()})
""")
        == "True\ngreenlet None None\nTrue\nTrue"
    )


def test_metadata_of_the_real_package_is_covered_while_the_alias_lasts(real_packages: Path) -> None:
    assert (
        output_of("""
        from importlib.metadata import version
        import gossamer.compat
        print(version("greenlet"))
        gossamer.compat.install()
        print(version("greenlet") != "0.1")
        gossamer.compat.uninstall()
        print(version("greenlet"))
    """)
        == "0.1\nTrue\n0.1\n"
    )


def test_who_searches_a_folder_for_installed_packages_is_not_told_of_the_alias(tmp_path: Path) -> None:
    assert (
        answer(f"""
from importlib.metadata import distributions
print([found.name for found in distributions(path=[{str(tmp_path)!r}])])
print([found.name for found in distributions(name="greenlet", path=[{str(tmp_path)!r}])])
""")
        == "[]\n[]"
    )


def test_source_and_resources_of_the_served_module_can_be_read() -> None:
    assert (
        answer("""
import importlib.resources, inspect, greenlet
print(inspect.getsource(greenlet) == (importlib.resources.files(greenlet) / "__init__.py").read_text())
""")
        == "True"
    )


def test_a_compiled_module_answers_that_it_has_no_source() -> None:
    assert (
        answer("""
import importlib.util, gossamer._core
loader = importlib.util.find_spec("greenlet._greenlet").loader
print(hasattr(loader, "get_code"))
import sys
sys.modules.pop("greenlet._greenlet", None)
loader = importlib.util.find_spec("greenlet._greenlet").loader
name = "greenlet._greenlet"
print(loader.get_code(name), loader.get_source(name), loader.is_package(name))
print(loader.get_filename(name) == gossamer._core.__file__)
""")
        == "True\nNone None False\nTrue"
    )


WITH_ROWS = """
import importlib.util, sys
import gossamer.compat
from gossamer.compat._table import PACKAGES, Package
PACKAGES["greenlet"] = Package("3.5.6", {"greenlet.command": "gossamer.__main__", "greenlet.doors": "gossamer.cli"})
gossamer.compat.install("greenlet")
"""


def test_an_aliased_python_module_answers_for_its_code_source_and_file() -> None:
    assert (
        output_of(
            WITH_ROWS
            + """
loader = importlib.util.find_spec("greenlet.command").loader
home = importlib.util.find_spec("gossamer.__main__")
name = "greenlet.command"
print(loader.get_code(name) == home.loader.get_code("gossamer.__main__"))
print(loader.get_source(name) == home.loader.get_source("gossamer.__main__"))
print(loader.get_filename(name) == home.origin, loader.is_package(name), "gossamer.__main__" in sys.modules)
"""
        )
        == "True\nTrue\nTrue False False\n"
    )


def test_an_aliased_module_can_be_run_by_its_second_name() -> None:
    assert (
        output_of(
            WITH_ROWS
            + """
import runpy
sys.argv[:] = ["greenlet.command", "--version"]
try:
    runpy.run_module("greenlet.command", run_name="__main__", alter_sys=True)
except SystemExit as end:
    print(end.code)
"""
        ).splitlines()[-1]
        == "0"
    )


def test_what_is_in_an_aliased_package_is_one_object_under_both_names_too() -> None:
    assert (
        output_of(
            WITH_ROWS
            + """
import greenlet.doors.run
import gossamer.cli.run
print(greenlet.doors is gossamer.cli, greenlet.doors.run is gossamer.cli.run)
print(gossamer.cli.run.__spec__.name, importlib.util.find_spec("greenlet.doors.nothing"))
"""
        )
        == "True True\ngossamer.cli.run None\n"
    )


def test_an_aliased_module_that_fails_to_import_fails_with_its_own_error() -> None:
    assert (
        output_of("""
        import sys
        import gossamer.compat
        from gossamer.compat._table import PACKAGES, Package
        PACKAGES["greenlet"] = Package("3.5.6", {"greenlet.command": "gossamer.__main__"})
        gossamer.compat.install("greenlet")
        sys.modules["gossamer.cli"] = None
        for _ in range(2):
            try:
                import greenlet.command
            except ImportError as error:
                print(error.name, "greenlet.command" in sys.modules)
    """)
        == "gossamer.cli False\n" * 2
    )
