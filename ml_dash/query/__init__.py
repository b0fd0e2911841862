"""Questions and their answers, whichever store the blocks come from."""
