"""What a coding agent asks of experiments: questions that only read, each with an answer of a bounded size."""
