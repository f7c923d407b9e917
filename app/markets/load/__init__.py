"""A load of concurrent traders over the HTTP API, and what became of every order that it was told of."""
