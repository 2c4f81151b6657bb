"""Hints: AWS's events about images that may have changed, and which other images may rest.

A hint is never data. Must not know the warehouse, or how a listing is read.
"""
