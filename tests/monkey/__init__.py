"""Tests of gevent's patching interface."""
