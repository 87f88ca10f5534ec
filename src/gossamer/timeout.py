"""Timeouts, under gevent's name for the module: see `gossamer._sync.timeout`."""

from gossamer._sync.timeout import Timeout, with_timeout

__all__ = ["Timeout", "with_timeout"]
