"""Mixtures of labelled clips with known masks: where and when each event sounds."""
