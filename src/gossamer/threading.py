"""The standard library's `threading`, which is made of `_thread`'s blocking points.

`Thread` starts green threads once `monkey.patch_thread()` has been called.
"""

from threading import *  # noqa: F403
