"""Wrist recordings: from what a device stored to calibrated stretches of wear."""
