"""Selectors: the standard library's `selectors`, which wait green, as `select` below them does."""

from selectors import *  # noqa: F403
from selectors import DefaultSelector

GeventSelector = DefaultSelector
