"""Encoders: what turns an object into the bytes of a file. They know nothing of experiments, names or servers."""
