"""One loop, one step: state, optimizer, sharding, checkpoints, log."""
