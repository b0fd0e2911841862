"""The history of the database's schema, applied by `ml_dash.server.db.database` when a server starts."""
