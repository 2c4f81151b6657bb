"""`python -m image_history` is `image-history`."""

from image_history.cli import main

main()
