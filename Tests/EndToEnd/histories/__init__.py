"""Recorded histories of concurrent clients, and what must hold of them."""
