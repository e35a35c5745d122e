"""Anomalies in vibration: recordings, detectors, questions, tables and figure."""
