"""Smoke configs of finetuning, as several tests change and run them."""

from configs import har_wrist


def frozen_config(**changes):
    """A linear head on an encoder that was never trained."""
    config = har_wrist.get_config("smoke")
    config.mesh.data = 1
    # Adam divides a gradient by its size: with a small eps, what rounding leaves of a
    # gradient of nothing becomes a step, and another number of devices rounds anew.
    config.optim.eps = 1e-4
    config.update_from_flattened_dict(changes)
    return config


def scratch_config(**changes):
    """Encoder and head from scratch."""
    return frozen_config(
        **{"encoder.trainable": True, "encoder.weights": "", **changes}
    )
