"""What every route needs of HTTP: access, bodies, query arguments, answers."""
