"""Signal processing that runs inside the jitted step."""
