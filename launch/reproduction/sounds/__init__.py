"""Repeats papers on anomalous machine sounds."""
