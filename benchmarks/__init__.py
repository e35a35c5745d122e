"""Each speed claim as one command, with its peer in the same run."""
