"""What commands do for audio events: system, finetuning, evaluation, prediction."""
