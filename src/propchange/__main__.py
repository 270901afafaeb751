"""``python -m propchange``: the command."""

from propchange.cli import main

main()
