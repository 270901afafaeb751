"""The device side: subscriptions in, event messages out."""
