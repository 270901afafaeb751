"""How fast propchange is, against the least that Python can do: see README.md."""
