"""Real programs in networks of their own: what tests/interop, tests/recovery and
`python -m lab.faults` stand on. Not part of the package."""
