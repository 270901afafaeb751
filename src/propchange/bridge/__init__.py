"""The bridge from events to a broker: used by the command ``propchange bridge``."""
