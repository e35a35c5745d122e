"""Other people's weights as our parameters; numpy alone, no torch."""
