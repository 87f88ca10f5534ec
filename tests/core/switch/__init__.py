"""Tests of the switch core through `gossamer.switching`."""
