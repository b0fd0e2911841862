"""Packed events, as they wait in the queue, and the blocks of columns that they become in a frame."""
