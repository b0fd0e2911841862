"""Speaking with one server."""
