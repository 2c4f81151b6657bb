"""Parquet datasets that are kept in step with the warehouse, in a folder or in S3; readers never see half of one.

Must not know the command line, nor how rows are read from the warehouse.
"""
