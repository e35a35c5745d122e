"""Repeats papers on the recognition of audio events."""
