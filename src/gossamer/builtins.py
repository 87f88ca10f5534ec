"""The standard library's `builtins`: imports know green threads by themselves, and `input()` is a blocking point."""

from builtins import *  # noqa: F403, UP029
