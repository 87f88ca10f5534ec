"""Tests of servers with gevent's interface."""
