"""The database: its tables, its migrations, and the one way in and out."""
