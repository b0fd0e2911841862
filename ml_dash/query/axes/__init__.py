"""What rows are placed by besides their index: another metric's value at their time, and the rank of their writer."""
