"""Random request sequences to two servers at once, whose answers must be equal."""
