"""A small AWS on loopback, and what is held against unmodified boto3 with it."""
