"""What advertisements mean for subscriptions (UDA 2.0 §1.2)."""
