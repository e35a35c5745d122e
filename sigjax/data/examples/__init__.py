"""Examples in memory: images, points, clips and windows of one shape, with labels."""
