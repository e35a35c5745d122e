"""Labelled calls of animals or people: manifests, splits, reading, length buckets."""
