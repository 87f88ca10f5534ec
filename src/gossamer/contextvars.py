"""The standard library's `contextvars`: every greenlet has a context of its own."""

import contextvars as _home
from contextvars import *  # noqa: F403

from gossamer._standard_library import rest_of

__getattr__ = rest_of(_home)
