"""What clients send and what they get, one file a resource."""
