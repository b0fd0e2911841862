"""Many experiments at once: lists, tables, and series."""
