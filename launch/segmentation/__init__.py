"""Segmentation of sound: events of mixtures in time and frequency."""
