"""The contents of files: objects, transfers in parts, limits and the collector."""
