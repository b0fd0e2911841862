"""What limits of the system leave to this process, and to the script in it."""
