"""Rows read back from the store."""
