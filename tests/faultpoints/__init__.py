"""Tests that inject faults at the connector's named effects. Each command runs in its own process."""
