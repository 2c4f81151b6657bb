"""Whether the tests notice when a rule is taken out: `python -m tests.mutation`."""
