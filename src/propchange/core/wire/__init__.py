"""What both sides read and write: messages, headers, propertysets, XML, URLs."""
