"""Background jobs of the embedded service: datasets, trainings, copies, media analysis, recovery."""
