"""HTTP of the embedded service: application, wire format, server, in-process session, moto bridge, faults."""
