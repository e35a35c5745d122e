"""What commands do for machine sounds: systems, evaluation, prediction, the study."""
