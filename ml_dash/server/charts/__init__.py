"""Charts of any length, from rows or from stored summaries."""
