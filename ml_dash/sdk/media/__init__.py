"""Values that are looked at and not drawn as a line: images, sounds, tables, logged beside numbers at a step."""
