"""Which values of metrics are the best: said while they are logged, and read."""
