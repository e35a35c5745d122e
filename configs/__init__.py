"""One file per experiment, a lab note in its docstring."""
