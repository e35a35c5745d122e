"""Pure loss functions, per example."""
