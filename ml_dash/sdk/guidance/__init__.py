"""What to write instead: calls and names that are wrong raise at once, and the message has the line that is meant."""
