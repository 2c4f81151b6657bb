"""A small AWS on loopback, and comparisons with unmodified boto3 on it."""
