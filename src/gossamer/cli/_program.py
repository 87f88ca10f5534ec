"""A program run as `__main__`, as the interpreter runs it itself.

What `python SCRIPT` and `python -m MODULE` do before the first line of the program, and what is repeated here:

* `sys.path[0]`: the folder of the script with symbolic links followed; the current folder for a module; a folder
  or zip file that is run is put there itself. With safe paths (`python -P`) only the last happens.
* `__file__` of a script is the name it was given, after the current folder unless absolute; `sys.argv[0]` is the name
  as given, for a module its file.
* `__main__.__spec__` is None for a script: `multiprocessing` tells by it whether to run the file again in a child
  process or to import the module.

Unlike with `runpy.run_path` and `runpy.run_module`, the program's `__main__` stays in place when its last line is done:
threads and exit functions still running then may pickle its classes.

Exceptions leave the way they came, through our frames to the interpreter, because only it can end the process as
it should (the status of SystemExit, death by SIGINT after KeyboardInterrupt). The frames that are not the program's are
taken off the traceback at the last moment, by a `sys.excepthook` in front of the program's.
"""

# A Path normalises what it is made from, and the interpreter does not:
# ruff: noqa: PTH109, PTH117, PTH118, PTH120

import builtins
import io
import marshal
import os
import pkgutil
import runpy
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec, SourceFileLoader, SourcelessFileLoader
from importlib.util import MAGIC_NUMBER
from types import CodeType, ModuleType, TracebackType
from typing import Any, NamedTuple

PYC_HEADER_SIZE = 16

LAUNCHER = sys.modules["__main__"]
"""The `__main__` that started us, kept for good: once another module is in its place, CPython 3.12 and 3.13 touch its
namespace after the last frame that holds it is gone."""

IMPORT_MACHINERY = frozenset({__name__, "runpy", "importlib", "importlib._bootstrap", "importlib._bootstrap_external"})


class ProgramError(Exception):
    """The program cannot be started; the message is one line for the user."""


class Loaded(NamedTuple):
    """A program's code, and what `__main__` is told of where it comes from."""

    code: CodeType
    file: str | None
    cached: str | None
    loader: Any
    package: str | None
    spec: ModuleSpec | None


def run_script(path: str, arguments: Sequence[str]) -> None:
    """Run a Python file, or a folder or zip file with a `__main__.py`, as `python PATH ARGUMENTS` would.

    Raises ProgramError if there is no such program, and whatever the program raises.
    """
    sys.argv[:] = [path, *arguments]
    absolute = path if os.path.isabs(path) else os.path.join(current_folder(), path)
    if pkgutil.get_importer(absolute) is not None:
        _set_path0(absolute, insert=sys.flags.safe_path)
        _run(_load_archive)
        return
    content = _read(path, absolute)
    if not sys.flags.safe_path:
        _set_path0(os.path.dirname(os.path.realpath(path)))
    _run(lambda: _load_file(absolute, content))


def run_module(name: str, arguments: Sequence[str]) -> None:
    """Run a module, or the `__main__` module of a package, as `python -m NAME ARGUMENTS` would.

    Raises ProgramError if there is no such module or it cannot be run, and whatever the program raises.
    """
    sys.argv[:] = ["-m", *arguments]
    if not sys.flags.safe_path:
        _set_path0(current_folder())
    _run(lambda: _load_module(name))


def current_folder() -> str:
    """The path of the current folder. Raises ProgramError if it is not there any more."""
    try:
        return os.getcwd()
    except OSError as error:
        raise ProgramError(f"cannot find the current folder: {error.strerror}") from error


def _set_path0(entry: str, *, insert: bool = False) -> None:
    """Put `entry` in the place of what the interpreter put into `sys.path` for us; insert: in front of it."""
    sys.path[0 : 0 if insert else 1] = [entry]


def _read(path: str, absolute: str) -> bytes:
    try:
        with io.open_code(absolute) as stream:
            return stream.read()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ProgramError(f"cannot open {path!r}: {reason}") from error


def _load_file(absolute: str, content: bytes) -> Loaded:
    """A script, source or compiled."""
    if not absolute.endswith(".pyc") and not content.startswith(MAGIC_NUMBER):
        source = compile(content, absolute, "exec", dont_inherit=True)
        return Loaded(source, absolute, None, SourceFileLoader("__main__", absolute), None, None)
    if not content.startswith(MAGIC_NUMBER):
        raise ProgramError(f"cannot run {absolute!r}: another version of Python has compiled it; run its source")
    compiled = marshal.loads(content[PYC_HEADER_SIZE:])  # noqa: S302 - the user's own program
    return Loaded(compiled, absolute, None, SourcelessFileLoader("__main__", absolute), None, None)


def _load_archive() -> Loaded:
    """The module `__main__` in the folder or zip file at `sys.path[0]`."""
    _, spec, code = runpy._get_main_module_details(ProgramError)  # type: ignore[attr-defined]
    return _loaded_by_spec(spec, code)


def _load_module(name: str) -> Loaded:
    """A module that may be run, by its name."""
    _, spec, code = runpy._get_module_details(name, ProgramError)  # type: ignore[attr-defined]
    sys.argv[0] = spec.origin
    return _loaded_by_spec(spec, code)


def _loaded_by_spec(spec: ModuleSpec, code: CodeType) -> Loaded:
    return Loaded(code, spec.origin, spec.cached, spec.loader, spec.parent, spec)


def _run(load: Callable[[], Loaded]) -> None:
    """Load the program and run it as `__main__`."""
    main = sys.modules["__main__"] = ModuleType("__main__")
    try:
        program = load()
        vars(main).update(_attributes(program))
        exec(program.code, vars(main))  # noqa: S102 - running a program is what this is for
    except (SystemExit, ProgramError):
        raise
    except BaseException:
        sys.excepthook = _without_launcher(sys.excepthook)
        raise


def _attributes(program: Loaded) -> dict[str, Any]:
    """The attributes that this version of CPython gives `__main__`, besides its name."""
    attributes = {
        "__builtins__": builtins,
        "__file__": program.file,
        "__loader__": program.loader,
        "__package__": program.package,
        "__spec__": program.spec,
    }
    if sys.version_info < (3, 14):
        attributes["__annotations__"] = {}
    if sys.version_info < (3, 15):
        attributes["__cached__"] = program.cached
    return attributes


Hook = Callable[[type[BaseException], BaseException, TracebackType | None], Any]


def _without_launcher(hook: Hook) -> Hook:
    """`hook`, shown only the program's part of a traceback."""

    def excepthook(kind: type[BaseException], value: BaseException, traceback: TracebackType | None) -> None:
        sys.last_traceback = traceback = _program_part(traceback)
        hook(kind, value.with_traceback(traceback), traceback)

    return excepthook


def _program_part(traceback: TracebackType | None) -> TracebackType | None:
    """The traceback from the program's first frame on: what called us, we and the import system are left out."""
    while traceback is not None and not _is_in(traceback, {__name__}):
        traceback = traceback.tb_next
    while traceback is not None and _is_in(traceback, IMPORT_MACHINERY):
        traceback = traceback.tb_next
    return traceback


def _is_in(traceback: TracebackType, modules: frozenset[str] | set[str]) -> bool:
    return traceback.tb_frame.f_globals.get("__name__") in modules
