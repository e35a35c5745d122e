"""Repeats papers that probe speech encoders with animals' calls."""
