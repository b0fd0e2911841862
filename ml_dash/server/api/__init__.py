"""The routes, one file a resource, and the document that describes them."""
