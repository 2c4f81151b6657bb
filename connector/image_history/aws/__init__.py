"""The way to AWS: sessions, one validated call, error codes, answer bodies.

The only room that knows boto3 and botocore, beside `publish/s3.py`; must not know streams, files or the warehouse.
"""
