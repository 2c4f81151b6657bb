"""Tests of properties that hold for every schedule of changes: the exhaustive model and the state machine."""
