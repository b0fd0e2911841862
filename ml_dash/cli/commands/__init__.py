"""The commands, one file for each or for a few of a kind."""
