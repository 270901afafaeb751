"""Everything between the protocols and a runtime, written once for all runtimes."""
