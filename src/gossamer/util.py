"""Low-level helpers: gevent's module of that name, but for GreenletTree."""

from gossamer._sync.introspection import assert_switches, format_run_info, print_run_info, wrap_errors

__all__ = ["assert_switches", "format_run_info", "print_run_info", "wrap_errors"]
