"""Selectors: the standard library's `selectors`, which wait green, as `select` below them does."""

import selectors as _home
from selectors import *  # noqa: F403
from selectors import DefaultSelector

from gossamer._standard_library import rest_of

GeventSelector = DefaultSelector

__getattr__ = rest_of(_home)
