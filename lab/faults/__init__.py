"""Faults, played against devices on C stacks and the control points that follow them."""
