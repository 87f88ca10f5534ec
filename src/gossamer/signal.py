"""Signals: the standard library's `signal`, whose waiting calls are blocking points, under gevent's module name."""

import signal as _home
from signal import *  # noqa: F403

from gossamer._standard_library import rest_of

__getattr__ = rest_of(_home)
