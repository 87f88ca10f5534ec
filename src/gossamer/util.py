"""Low-level helpers: gevent's module of that name."""

from gossamer._sync.introspection import (
    GreenletTree,
    assert_switches,
    format_run_info,
    print_run_info,
    wrap_errors,
)

__all__ = ["GreenletTree", "assert_switches", "format_run_info", "print_run_info", "wrap_errors"]
