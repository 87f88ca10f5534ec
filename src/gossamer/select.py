"""Waiting for descriptors: the standard library's `select`, whose calls are blocking points."""

from select import *  # noqa: F403
