"""What may import what, and what a bare accelerator image must be able to import."""

import subprocess
import sys

BARE = """
import sys
class Blocked:
    names = {names!r}
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in self.names:
            raise ImportError(name + " is not on a bare accelerator image")
sys.meta_path.insert(0, Blocked())
import sigjax.models.mae, sigjax.losses.spectral, sigjax.signal.patches
import sigjax.models.harnet, sigjax.models.heads, sigjax.models.window_classifier
import sigjax.losses.classification, sigjax.metrics.classification
import sigjax.tasks.masked_modelling, sigjax.tasks.classification
import sigjax.train.step, sigjax.train.optim
import sigjax.train.sharding
import benchmarks.mae_step, benchmarks.lmm_loss
"""
ABSENT = (
    "grain librosa tensorflow_datasets ml_collections orbax tensorstore jaxtyping"
    " tensorboardX tqdm matplotlib etils absl torch scipy sklearn umap numba pyarrow"
).split()


def test_models_losses_steps_and_their_benchmarks_need_no_more_than_jax():
    # Flax itself imports Orbax and etils: those two stay, ours must not need more.
    names = set(ABSENT) - {"orbax", "etils", "tensorstore", "absl"}
    code = BARE.format(names=names)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


def test_importing_the_package_is_light():
    code = "import sys, sigjax; print('jax' in sys.modules, 'orbax' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == ["False", "False"], done.stderr


def test_the_import_contracts_hold():
    code = "from importlinter.cli import lint_imports; raise SystemExit(lint_imports())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
