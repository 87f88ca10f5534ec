"""What is built and installed is the whole of the source tree: meson.build lists files by name, and a list can lag."""

import importlib.metadata
import tomllib
from collections.abc import Iterator
from pathlib import Path

import gossamer

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "gossamer"
INSTALLED = Path(gossamer.__path__[0])
COMPILED = {".c", ".S", ".pyx"}
NOT_INSTALLED = {*COMPILED, ".h", ".pxd", ".pyc"}


def sources() -> Iterator[Path]:
    """Every source file of the package, relative to it."""
    return (path.relative_to(PACKAGE) for path in PACKAGE.rglob("*") if path.is_file() and path.name != "meson.build")


def place_of(path: Path) -> Path:
    """Where a file of the package is installed: what Python runs at its start lies beside the package."""
    return INSTALLED.parent / path.name if path.suffix == ".pth" else INSTALLED / path


def test_the_tests_import_the_installed_package_and_not_the_source_tree() -> None:
    assert not INSTALLED.is_relative_to(PACKAGE)


def test_every_file_of_the_source_tree_that_is_not_compiled_is_installed() -> None:
    wanted = [path for path in sources() if path.suffix not in NOT_INSTALLED or path.parts[0] == "include"]
    assert wanted
    assert [str(path) for path in wanted if not place_of(path).exists()] == []


def name_in_build(path: Path) -> str:
    """How meson.build names a file that is compiled: Cython modules without their suffix."""
    return str(path.with_suffix("") if path.suffix == ".pyx" else path)


def test_every_c_assembler_and_cython_source_is_part_of_the_build() -> None:
    build = (PACKAGE / "meson.build").read_text()
    compiled = [path for path in sources() if path.suffix in COMPILED]
    assert compiled
    assert [str(path) for path in compiled if f"'{name_in_build(path)}'" not in build] == []


def test_the_package_has_one_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert gossamer.__version__ == project["version"] == importlib.metadata.version("gossamer")
