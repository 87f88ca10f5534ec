"""Greenlets: switching between stacks of calls, explicitly.

This module has the interface of the greenlet package. (`gossamer.greenlet` is another thing: the module of that name
that gevent has.)

A greenlet is a pseudo-thread: Python and C calls of its own, that run until they switch to another greenlet of the
same thread and go on from there when somebody switches back. Nothing is scheduled: who runs next is always said.

    from gossamer.switching import greenlet

    def test1(x, y):
        z = gr2.switch(x + y)
        print(z)

    def test2(u):
        print(u)
        gr1.switch(42)

    gr1 = greenlet(test1)
    gr2 = greenlet(test2)
    gr1.switch("hello", " world")    # prints hello world, then 42

* `greenlet(run=None, parent=None)` makes one; `switch`, `throw`, `dead`, `parent` and the rest are its attributes.
* `getcurrent()` is the greenlet that runs. Each thread begins with one, its main greenlet.
* `GreenletExit` ends a greenlet without being an error; `error` is raised for switches that cannot be made.
* `settrace(callback)` and `gettrace()` follow every switch of a thread.
* `stacks()` shows the Python stack of every greenlet, `counts()` how many there are in which state: for debugging.
* The `GREENLET_USE_...` constants, all True, answer programs that ask what an implementation supports: garbage
  collection of parked greenlets, tracing, a `contextvars` context for each greenlet, threads.
* `get_include()` is where C, C++ and Cython extensions find the header `greenlet/greenlet.h`.

The classes and most functions are the native core's own objects; their docstrings say the details.
"""

from gossamer._core import GreenletExit, counts, error, getcurrent, gettrace, greenlet, settrace
from gossamer._include import get_include
from gossamer._stacks import stacks

__all__ = [
    "GREENLET_USE_CONTEXT_VARS",
    "GREENLET_USE_GC",
    "GREENLET_USE_STANDARD_THREADING",
    "GREENLET_USE_TRACING",
    "GreenletExit",
    "counts",
    "error",
    "get_include",
    "getcurrent",
    "gettrace",
    "greenlet",
    "settrace",
    "stacks",
]

GREENLET_USE_CONTEXT_VARS = True
GREENLET_USE_GC = True
GREENLET_USE_STANDARD_THREADING = True
GREENLET_USE_TRACING = True
