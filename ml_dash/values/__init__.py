"""What a logged value becomes, and what is computed of it."""
