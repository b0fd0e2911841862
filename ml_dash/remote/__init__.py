"""The client's half of remote mode: the protocol, the HTTP client, and what sends a journal to a server."""
