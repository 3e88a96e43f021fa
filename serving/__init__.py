"""HTTP around the graph: the endpoint, health, metrics, logs, settings and the server itself."""
