"""gevent's private module of that name, as far as programs import it: names from the days of several Pythons."""

import os
import sys
from importlib import import_module
from io import StringIO as NativeStrIO
from os import PathLike, fsdecode, fsencode, fspath
from time import get_clock_info, monotonic, perf_counter
from types import TracebackType
from typing import Any

__all__ = [
    "LINUX",
    "MAC",
    "OSX",
    "PURE_PYTHON",
    "PYPY",
    "WIN",
    "NativeStrIO",
    "PathLike",
    "exc_clear",
    "fsdecode",
    "fsencode",
    "fspath",
    "get_clock_info",
    "get_this_psutil_process",
    "hostname_types",
    "integer_types",
    "iteritems",
    "itervalues",
    "izip",
    "monotonic",
    "native_path_types",
    "os",
    "perf_counter",
    "reraise",
    "string_types",
    "sys",
    "text_type",
    "thread_mod_name",
    "xrange",
]

PYPY = WIN = OSX = MAC = PURE_PYTHON = False
LINUX = True
PY311, PY312, PY313, PY314 = (sys.version_info >= (3, minor) for minor in (11, 12, 13, 14))

string_types = (str,)
integer_types = (int,)
text_type = str
native_path_types = (str,)
hostname_types = (str, bytes, bytearray)
thread_mod_name = "_thread"
xrange = range
izip = zip
iteritems = dict.items
itervalues = dict.values
_fspath = fspath


def exc_clear() -> None:
    """Does nothing: an exception ends with its `except` clause."""


def reraise(kind: type[BaseException], value: BaseException | None, tb: TracebackType | None = None) -> None:
    """Raise the exception with that traceback."""
    error = kind() if value is None else value
    raise error if tb is None else error.with_traceback(tb)


def get_this_psutil_process() -> Any:
    """The process as psutil sees it, None where psutil is not installed."""
    try:
        psutil = import_module("psutil")
    except ImportError:
        return None
    return psutil.Process()
