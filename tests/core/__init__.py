"""Tests of floor 1, the native core."""
