"""Estimates the calls and the time of a sync, without running one.

Must not know how it is shown.
"""
