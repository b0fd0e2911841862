"""The write-ahead log: frames, segments, the index over them, and what readers ask of it."""
