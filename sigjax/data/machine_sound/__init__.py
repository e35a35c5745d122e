"""Sounds of machines: clips, their names and layouts, ground truth, sets, batches."""
