"""Signals: the standard library's `signal`, whose waiting calls are blocking points, under gevent's module name."""

from signal import *  # noqa: F403
