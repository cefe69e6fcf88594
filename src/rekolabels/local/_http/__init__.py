"""The wire of the embedded service: HTTP server, in-process session, moto bridge, fault middleware."""
