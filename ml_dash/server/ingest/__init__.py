"""Frames on their way into the store: decode, check, commit together, compact."""
