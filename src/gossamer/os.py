"""The standard library's `os`, whose blocking calls are blocking points, and gevent's functions for descriptors."""

import os as _home
from os import *  # noqa: F403
from os import fork as fork_gevent
from os import forkpty as forkpty_gevent

from gossamer._standard_library import rest_of
from gossamer._sync.children import fork_and_watch, forkpty_and_watch
from gossamer._sync.descriptors import make_nonblocking, nb_read, nb_write, tp_read, tp_write

__all__ = [
    "fork_and_watch",
    "fork_gevent",
    "forkpty_and_watch",
    "forkpty_gevent",
    "make_nonblocking",
    "nb_read",
    "nb_write",
    "tp_read",
    "tp_write",
]

__getattr__ = rest_of(_home)
