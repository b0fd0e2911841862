"""What a script touches: the experiment and its managers."""
