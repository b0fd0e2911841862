"""Slabs: shared memory in which rows survive the death of the process that logged them, on their way to the journal."""
