"""Programs that read lake tables, in an environment of their own: `make lake-check`."""
