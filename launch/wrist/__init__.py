"""What commands do for wrist accelerometry: systems, evaluation, prediction."""
