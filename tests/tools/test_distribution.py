"""What is handed out: the source distribution, the wheel that is built from it, and what installing either does.

The builds take minutes, so `make test` leaves them to a soak.
"""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tools import environment

ROOT = Path(__file__).resolve().parents[2]
BUILT_HERE = shutil.ignore_patterns(".git", ".venv*", ".matrix", "build", "dist", "__pycache__", ".*_cache")
PACKAGE = ROOT / "src" / "gossamer"
COMPILED = ["_core", *(str(path.relative_to(PACKAGE).with_suffix("")) for path in PACKAGE.rglob("*.pyx"))]
NEVER = {".c", ".S", ".pyx", ".pxd", ".o", ".build", ".pyc"}
WORKS = "import gossamer; print(gossamer.spawn(lambda: 42).get(), gossamer.__path__[0])"

pytestmark = [
    pytest.mark.soak,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(shutil.which("git") is None, reason="meson makes a source distribution of what git knows"),
]


def run(command: list[str | Path], folder: Path, **variables: str) -> str:
    """What a command prints; it has to succeed. PATH begins with the folder of this interpreter's programs."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    surroundings = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        command, cwd=folder, env=surroundings | {"PATH": path} | variables, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("distribution")


@pytest.fixture(scope="module")
def tree(place: Path) -> Path:
    """The tree as it is now, under version control, with nothing that was built."""
    tree = place / "tree"
    shutil.copytree(ROOT, tree, ignore=BUILT_HERE)
    git: list[str | Path] = ["git", "-c", "user.name=Test", "-c", "user.email=test@example.invalid"]
    for command in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message", "as it is"]):
        run([*git, *command], tree)
    return tree


@pytest.fixture(scope="module")
def source_distribution(tree: Path, place: Path) -> Path:
    run([sys.executable, "-c", "import mesonpy, sys; mesonpy.build_sdist(sys.argv[1])", place], tree)
    (built,) = place.glob("*.tar.gz")
    return built


@pytest.fixture(scope="module")
def wheel(source_distribution: Path, place: Path) -> Path:
    """Built from the source distribution, as pip does it, where there is no version control."""
    run([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", place, source_distribution], place)
    (built,) = place.glob("*.whl")
    return built


def new_environment(folder: Path) -> Path:
    """A virtual environment there; its interpreter."""
    run([sys.executable, "-m", "venv", folder], folder.parent)
    return folder / "bin" / "python"


def everything_below(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if "__pycache__" not in path.parts}


def test_the_source_distribution_holds_what_is_under_version_control(source_distribution: Path, tree: Path) -> None:
    with tarfile.open(source_distribution) as archive:
        held = {name.partition("/")[2] for name in archive.getnames() if not archive.getmember(name).isdir()}
    known = set(run(["git", "ls-files"], tree).splitlines())
    assert held - known == {"PKG-INFO"}
    assert known <= held


def test_the_wheel_holds_the_package_its_headers_and_its_licence_and_nothing_else(wheel: Path) -> None:
    names = {Path(name) for name in zipfile.ZipFile(wheel).namelist()}
    (information,) = {name.parts[0] for name in names if name.parts[0].endswith(".dist-info")}
    assert {name.parts[0] for name in names} == {"gossamer", "gossamer-compat.pth", information}
    assert Path(information, "licenses", "LICENSE") in names
    assert {Path("gossamer/py.typed"), Path("gossamer/include/greenlet/greenlet.h")} <= names
    assert [name for name in names if name.suffix in NEVER] == []
    modules = sorted(str(name).partition(".")[0] for name in names if name.suffix == ".so")
    assert modules == sorted(f"gossamer/{name}" for name in COMPILED)


def test_an_installation_works_where_the_path_has_spaces_and_its_removal_leaves_nothing(
    wheel: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "a place with spaces"
    python = new_environment(folder)
    run([python, "-m", "pip", "install", "--quiet", "httptools"], tmp_path)
    before = everything_below(folder)
    run([python, "-m", "pip", "install", "--quiet", wheel], tmp_path)
    assert run([python, "-c", WORKS], tmp_path).startswith(f"42 {folder}/")
    assert run([folder / "bin" / "gossamer", "--version"], tmp_path).startswith("gossamer ")
    run([python, "-m", "pip", "uninstall", "--quiet", "--yes", "gossamer"], tmp_path)
    assert everything_below(folder) == before


def test_environments_with_different_versions_do_not_disturb_each_other(
    wheel: Path, tmp_path: Path, tree: Path
) -> None:
    """The alias's .pth file and what children inherit lead each to its own."""
    other = tmp_path / "other"
    shutil.copytree(tree, other)
    project = other / "pyproject.toml"
    project.write_text(project.read_text().replace('version = "0.1.0.dev0"', 'version = "0.2.0"'))
    pythons = [new_environment(tmp_path / name) for name in ("one", "two")]
    for python, what in zip(pythons, (wheel, other), strict=True):
        run([python, "-m", "pip", "install", "--quiet", what], tmp_path)
    ask = "import gossamer.compat, importlib.metadata as m, subprocess, sys; gossamer.compat.install()\n"
    ask += "child = 'import greenlet, sys; print(sys.modules[\"gossamer\"].__path__[0])'\n"
    ask += "print(m.version('gossamer'), subprocess.check_output([sys.argv[1], '-c', child], text=True))"
    for python, version in zip(pythons, ("0.1.0.dev0", "0.2.0"), strict=True):
        said = run([python, "-c", ask, python], tmp_path)
        assert said.split()[0] == version
        assert said.split()[1].startswith(str(python.parents[1]))


def test_an_editable_installation_is_built_again_when_a_source_has_changed(tree: Path, tmp_path: Path) -> None:
    edited = tmp_path / "tree"
    shutil.copytree(tree, edited)
    python = new_environment(tmp_path / "environment")
    # the build that an import starts looks for ninja and cython
    programs = {"PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}"}
    run([python, "-m", "pip", "install", "--quiet", *environment.requirements([])], tmp_path)
    run([python, "-m", "pip", "install", "--quiet", "--no-build-isolation", "-e", edited], tmp_path, **programs)
    assert run([python, "-c", WORKS], tmp_path, **programs).startswith("42 ")
    counts = edited / "src" / "gossamer" / "_core" / "switch" / "introspect.c"
    counts.write_text(counts.read_text().replace('"leaked"', '"left"'))
    ask = "from gossamer import switching; print('left' in switching.counts())"
    assert run([python, "-c", ask], tmp_path, **programs).splitlines()[-1] == "True"
    event = edited / "src" / "gossamer" / "_sync" / "event.pyx"
    event.write_text(event.read_text() + "\n\ndef added():\n    return 42\n")
    ask = "from gossamer._sync import event; print(event.added())"
    assert run([python, "-c", ask], tmp_path, **programs).splitlines()[-1] == "42"
