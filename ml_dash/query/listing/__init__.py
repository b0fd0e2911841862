"""Experiments in lists: what is kept of each, the language in which they are filtered and sorted, and its SQL."""
