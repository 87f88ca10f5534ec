"""The standard library's `time`, whose `sleep()` is a blocking point."""

from time import *  # noqa: F403
