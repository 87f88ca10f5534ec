"""Attributes of a greenlet's own: gevent's module of that name.

`local` is like `threading.local`, for greenlets. (`threading.local` itself is each green thread's own once
`monkey.patch_thread()` has been called.)
"""

from gossamer._sync.local import local

__all__ = ["local"]
