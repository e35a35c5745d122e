"""Anomaly scores from embeddings: back-ends with one interface, and honest choice."""
