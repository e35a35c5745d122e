"""Repeats the experiments of a lecture on autoencoders."""
