"""Learning problems: where batch keys, model, loss and metrics meet."""
