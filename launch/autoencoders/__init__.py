"""Autoencoders and generators of examples: training, figures, evaluation, use."""
