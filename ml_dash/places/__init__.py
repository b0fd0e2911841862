"""Where experiments are: a local root, or a server. Asked the same things, they give the same answers."""
