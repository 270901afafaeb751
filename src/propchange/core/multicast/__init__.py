"""Multicast eventing (UDA 2.0 §4.3.3): the message, who sends it, and who believes it."""
