"""Pre-training of speech encoders."""
