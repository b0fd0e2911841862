"""A root of journals on this disk, read as a server's store is: what `ml-dash ui` shows."""
