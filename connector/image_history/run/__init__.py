"""A run from its plan to its load: plan, list, settle, details, load.

Must not know boto3, SQL, or how a report is printed.
"""
