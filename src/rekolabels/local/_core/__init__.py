"""Core of the embedded service: storage, locks, clock, job runner, faults."""
