"""From raw device files to batches of NumPy arrays; neither JAX nor models here."""
