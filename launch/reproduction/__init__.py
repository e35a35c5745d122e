"""Tables and figures of papers as sweeps: sheets, cells, who runs them, output."""
