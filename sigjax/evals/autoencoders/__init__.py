"""How well autoencoders do what they are for, beside what needs no training."""
