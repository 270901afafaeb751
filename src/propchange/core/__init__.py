"""The protocol of UPnP eventing: rules, states and schedules. No I/O, no clock, no randomness."""
