"""Blobs, which files hold: objects, transfers in parts, limits and the collector."""
