"""JSON handlers, one file a resource."""
