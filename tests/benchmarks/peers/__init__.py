"""The peers: small programs that get the same rows in other ways."""
