"""What is measured and drawn after training."""
