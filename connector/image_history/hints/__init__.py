"""Hints: what AWS's events say may have changed, and which images may rest because nothing says so.

A hint is never data. Must not know the warehouse, or how a listing is read.
"""
