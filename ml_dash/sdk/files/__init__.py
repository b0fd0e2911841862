"""Files of an experiment: captured when they are saved, stored as blobs, listed by the journal's rows."""
