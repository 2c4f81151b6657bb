"""Faults at the connector's named effects, in processes of their own."""
