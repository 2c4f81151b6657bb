"""Checks reports in a real browser: `make report-check`."""
