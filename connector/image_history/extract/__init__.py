"""From AWS to validated pages: sessions, planning, pacing, retry, and the concurrent page loop.

Must not know Arrow, segments, or the warehouse.
"""
