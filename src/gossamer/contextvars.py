"""The standard library's `contextvars`: every greenlet has a context of its own."""

from contextvars import *  # noqa: F403
