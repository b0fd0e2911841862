"""Which experiments there are, what changed, and how their runs stand."""
