"""The control point side: subscriptions kept, event messages in."""
