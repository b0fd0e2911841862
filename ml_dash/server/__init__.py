"""The server: takes frames from clients, keeps them, and answers questions about them (extra ``server``)."""
