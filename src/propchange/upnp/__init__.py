"""Devices and services, and the documents that describe them, both ways. No I/O."""
