"""Labelled sets as TFDS builders: raw files in, ArrayRecord out, no TensorFlow."""
