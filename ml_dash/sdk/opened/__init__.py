"""What is done with experiments that are there, besides reading and logging."""
