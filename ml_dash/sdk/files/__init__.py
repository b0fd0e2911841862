"""Files of an experiment: captured when they are saved, stored by their contents, listed by the journal's rows."""
