"""Sends news to receivers after a load, each piece of news once.

Must not know how a run is made or shown.
"""
