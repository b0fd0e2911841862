"""What MLflow keeps: a store of files, a database of SQLite, or a server that is asked by its REST API."""
