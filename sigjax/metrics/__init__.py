"""Pure figures of merit, numpy alone."""
