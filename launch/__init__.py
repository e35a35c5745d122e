"""Commands: flags and wiring."""
