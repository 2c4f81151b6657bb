"""Rows on disk before they are loaded: segments with their checkpoints, details, one folder a run.

Must not know AWS clients or the warehouse.
"""
