"""Before a run starts: what it is called, what there is of it already, and whether it may go on with that."""
