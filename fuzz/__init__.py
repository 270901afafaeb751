"""Random bytes for every reader of a peer's bytes: see README.md."""
