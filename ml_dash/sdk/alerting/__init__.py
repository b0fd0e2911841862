"""What a script says that somebody should see."""
