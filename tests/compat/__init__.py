"""Tests of the alias."""
