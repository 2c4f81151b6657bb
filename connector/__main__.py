"""`python -m connector` is `image-history`."""

from connector.cli import main

main()
