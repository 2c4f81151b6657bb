"""From segments to the warehouse and to files: the only place that knows DuckDB.

Must not know AWS, or how a run was read.
"""
