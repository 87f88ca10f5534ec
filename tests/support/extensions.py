"""Extension modules that a test compiles: with Gossamer's header, or with the one that greenlet itself installs."""

import functools
import importlib.machinery
import importlib.util
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from types import ModuleType

import gossamer.compat
from gossamer.switching import get_include

SOURCES = Path(__file__).resolve().parents[1] / "core" / "switch" / "extensions"
COMPILERS = {".c": ["cc", "-std=gnu17"], ".cpp": ["c++", "-std=c++17"]}
WARNINGS = ["-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter", "-Wno-missing-field-initializers"]


def include_of_greenlet() -> Path | None:
    """The folder that greenlet's own header lies below, or None when greenlet is not installed."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    folder = Path(sys.prefix) / "include" / "site" / version
    return folder if (folder / "greenlet" / "greenlet.h").exists() else None


@functools.cache
def compiler_of(source: Path) -> list[str] | None:
    """The command that compiles `source`, or None when there is no such compiler."""
    command = COMPILERS[source.suffix]
    return command if shutil.which(command[0]) else None


def build(source: Path, include: Path, folder: Path) -> Path:
    """Compile `source` with the header below `include` into an extension module in `folder`; its path."""
    command = compiler_of(source)
    assert command is not None
    built = folder / f"{source.stem}{sysconfig.get_config_var('EXT_SUFFIX')}"
    includes = [f"-I{include}", f"-isystem{sysconfig.get_path('include')}"]
    subprocess.run([*command, "-O1", "-g", "-fPIC", "-shared", *WARNINGS, *includes, source, "-o", built], check=True)
    return built


def load(path: Path) -> ModuleType:
    """Import the extension module at `path`, while the alias `greenlet` is there: greenlet's header asks for that."""
    name = path.name.partition(".")[0]
    loader = importlib.machinery.ExtensionFileLoader(name, str(path))
    spec = importlib.util.spec_from_file_location(name, path, loader=loader)
    assert spec is not None
    gossamer.compat.install(names=["greenlet"], children=False)
    try:
        module = importlib.util.module_from_spec(spec)
        loader.exec_module(module)
    finally:
        gossamer.compat.uninstall()
    return module


def headers() -> dict[str, Path | None]:
    """The headers that an extension can be compiled with, by the name of their package; None: not installed."""
    return {"gossamer": Path(get_include()), "greenlet": include_of_greenlet()}
