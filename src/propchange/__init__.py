"""UPnP eventing (GENA) for Python."""
