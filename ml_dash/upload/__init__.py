"""A journal on its way to a server, exactly once."""
