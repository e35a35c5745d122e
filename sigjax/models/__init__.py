"""One file per system: its config, module and output."""
