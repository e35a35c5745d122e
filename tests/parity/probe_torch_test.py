"""A probe that is trained among others equals a plain loop in PyTorch.

The loop is the one that the benchmark measures against. It begins with our weights and
takes our order of clips; it computes in float64, so what is left is our own rounding.
"""

import jax
import numpy as np
import pytest

torch = pytest.importorskip(
    "torch", reason="parity needs PyTorch: see the parity extra"
)

from benchmarks import probe_sweep_torch as peer  # noqa: E402
from sigjax.evals.layer_probes import fold_of, layers_of, protocol, sweep  # noqa: E402
from sigjax.evals.layer_probes.sweep import batch_order, initial_params  # noqa: E402

CLIPS, LAYERS, WIDTH, CLASSES = 90, 2, 12, 3
# So that both patiences run out, at different times for different probes.
PROTOCOL = protocol(
    "paper",
    hidden=(8, 6, 4),
    epochs=24,
    patience=7,
    plateau_patience=1,
    learning_rate=3e-3,
    seeds=(3, 7),
)


@pytest.fixture(autouse=True)
def one_thread():
    """Layers this small are slower on several, and far slower on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def example():
    rng = np.random.default_rng(1)
    label = rng.integers(0, CLASSES, CLIPS)
    values = rng.normal(size=(CLIPS, LAYERS, WIDTH)) * 5 + 3
    values[:, 1, :CLASSES] += 9 * np.eye(CLASSES)[label]
    split = rng.permutation(["train"] * 53 + ["validation"] * 20 + ["test"] * 17)
    return values.astype(np.float32), label, fold_of(split)


def copied(params):
    """Our weights in a peer's network."""
    probe = peer.make_probe(WIDTH, PROTOCOL.hidden, CLASSES).double()
    blocks = range(len(PROTOCOL.hidden))
    ours = [params[f"{kind}_{i}"] for i in blocks for kind in ("linear", "norm")]
    ours.append(params["classes"])
    theirs = [layer for layer in probe if list(layer.parameters())]
    with torch.no_grad():
        for mine, layer in zip(ours, theirs, strict=True):
            kernel = mine["kernel"].T if "kernel" in mine else mine["scale"]
            layer.weight.copy_(torch.tensor(np.array(kernel, np.float64)))
            layer.bias.copy_(torch.tensor(np.array(mine["bias"], np.float64)))
    return probe


def trained(values, label, fold, layer, number):
    """The peer's training of one of our probes, and its posteriors."""
    seed = PROTOCOL.seeds[number]
    x = torch.tensor(values[:, layer], dtype=torch.float64)
    label = torch.tensor(label)
    x = (x - x[fold.train].mean(dim=0)) / x[fold.train].std(dim=0)
    network = PROTOCOL.network(CLASSES)
    initial = initial_params(network, WIDTH, PROTOCOL.seeds)
    fitting = peer.Fitting(
        copied(jax.tree.map(lambda leaf: leaf[number], initial)),
        learning_rate=PROTOCOL.learning_rate,
        patience=PROTOCOL.patience,
        plateau_patience=PROTOCOL.plateau_patience,
        plateau_factor=PROTOCOL.plateau_factor,
    )
    steps = -(-len(fold.train) // PROTOCOL.batch)
    order = batch_order(fold.train, seed, PROTOCOL.epochs, PROTOCOL.batch, steps)
    for epoch in order:
        batches = [(x[rows[rows >= 0]], label[rows[rows >= 0]]) for rows in epoch]
        held = x[fold.validation], label[fold.validation]
        if not fitting.epoch(batches, held):
            break
    return fitting, fitting.posteriors(x[fold.test]).numpy()


def test_probes_trained_at_once_equal_a_loop_over_them():
    values, label, fold = example()
    features = layers_of("m", values)
    found = sweep(features, label, list("abc"), [fold], PROTOCOL)
    ended, lowered = [], 0
    for layer, probed in enumerate(found.probed):
        for number in range(len(PROTOCOL.seeds)):
            fitting, posteriors = trained(values, label, fold, layer, number)
            epochs = len(fitting.history)
            assert probed.epochs[0, number] == epochs
            assert probed.best_epoch[0, number] == fitting.best_epoch
            for name, ours in probed.history.items():
                expected = [epoch[name] for epoch in fitting.history]
                np.testing.assert_allclose(
                    ours[0, number, :epochs], expected, atol=1e-4, rtol=1e-4
                )
                assert np.isnan(ours[0, number, epochs:]).all()
            np.testing.assert_allclose(
                probed.probability[0][number], posteriors, atol=1e-4
            )
            ended.append(epochs)
            lowered += fitting.history[-1]["learning_rate"] < PROTOCOL.learning_rate
    # Or early stopping and the schedule were not tried.
    assert min(ended) < PROTOCOL.epochs and len(set(ended)) > 1 and lowered
