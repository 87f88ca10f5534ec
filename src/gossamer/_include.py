"""Where C, C++ and Cython extensions find the header of greenlets."""

import os


def get_include() -> str:
    """The folder for a compiler's include path, below which `greenlet/greenlet.h` is.

    An extension that is compiled with that header uses Gossamer's greenlets, whether or not there is an alias. One that
    was compiled with the header of the greenlet package runs on them unchanged where the alias serves `greenlet`.
    """
    return os.path.join(os.path.dirname(__file__), "include")  # noqa: PTH118, PTH120 - pathlib is slow to import
