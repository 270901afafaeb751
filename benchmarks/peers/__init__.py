"""Programs on propchange and on other stacks, each a process: the contestants of the benchmarks.

All of them read command lines and write JSON Lines. Those that receive count the events that they
were given, and those whose value does not follow the one before: the value of an event is its SEQ.
"""
