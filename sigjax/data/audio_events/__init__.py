"""Sets of audio events: what is in them, as they are published, and batches."""
