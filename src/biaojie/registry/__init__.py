"""The registry of a node."""
