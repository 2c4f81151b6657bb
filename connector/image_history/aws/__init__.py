"""Access to AWS: sessions, one validated call, error codes, answer bodies.

The only package that knows boto3 and botocore, apart from `publish/s3.py`; must not know streams, files or the
warehouse.
"""
