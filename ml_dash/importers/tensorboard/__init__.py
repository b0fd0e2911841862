"""What TensorBoard reads: event files, the records in them, and the values in these."""
