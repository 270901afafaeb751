"""Fuzzing of all functions that read the bytes of a peer: see README.md."""
