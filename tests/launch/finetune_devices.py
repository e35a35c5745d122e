r"""Finetunes the smoke variant, frozen and from scratch, on four virtual devices.

    XLA_FLAGS=--xla_force_host_platform_device_count=4 \
        python -m tests.launch.finetune_devices FOLDER SETS
"""

import pathlib
import sys

import jax

from launch.finetune import finetune
from tests.launch.finetune_runs import frozen_config, scratch_config


def main(folder, sets):
    assert jax.device_count() == 4
    for name, config in (("frozen", frozen_config()), ("scratch", scratch_config())):
        config.mesh.data = -1
        config.data.dataset, config.data.simulate = sets, None
        finetune(config, folder / name)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), sys.argv[2])
