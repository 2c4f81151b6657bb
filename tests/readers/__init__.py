"""Readers of lake tables that write none, in an environment of their own: `make lake-check`."""
