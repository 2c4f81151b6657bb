"""Checks that the tests fail when a rule is changed: `python -m tests.mutation`."""
