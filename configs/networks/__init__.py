"""Networks as plain values, for configs."""
