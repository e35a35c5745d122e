"""Commands, `python -m launch.NAME`; what they do for a field is in its own room."""
