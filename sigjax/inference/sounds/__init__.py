"""A detector of anomalous machine sounds, out of its bundle."""
