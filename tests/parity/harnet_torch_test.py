"""HARNet converted from a PyTorch file against the same network in PyTorch.

The peer is written anew from the published description, with the names that the
published weights have.
"""

import sys

import jax
import numpy as np
import pytest

torch = pytest.importorskip(
    "torch", reason="parity needs PyTorch: see the parity extra"
)

from torch import nn  # noqa: E402

import sigjax  # noqa: E402
from benchmarks.harnet_torch import Network  # noqa: E402
from launch.convert import convert  # noqa: E402
from sigjax.convert.harnet import convert_harnet  # noqa: E402
from sigjax.convert.torch_files import WeightsError, read_state_dict  # noqa: E402
from sigjax.models.harnet import HarNet, HarNetConfig  # noqa: E402

FULL = HarNetConfig(dtype="float32")


def trained_network(*heads):
    """Random weights and statistics, none of them near those of a new network."""
    torch.manual_seed(0)
    network = Network(*heads)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv1d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")
            if isinstance(module, nn.BatchNorm1d):
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(0, 0.2)
                module.running_mean.normal_(0, 0.3)
                module.running_var.uniform_(0.5, 2)
    return network


@pytest.fixture(scope="module")
def network():
    return trained_network("aot_h", "scale_h", "permute_h", "time_w_h")


@pytest.fixture(scope="module")
def patches():
    x = np.random.default_rng(0).normal(0, 0.4, (6, 300, 3)) + [0, 0.2, 0.9]
    return x.astype(np.float32)


@pytest.fixture(scope="module", params=["zip", "legacy"])
def file(request, network, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "mtl_best.mdl"
    parallel = {f"module.{k}": v for k, v in network.state_dict().items()}
    torch.save(parallel, path, _use_new_zipfile_serialization=request.param == "zip")
    return path


def theirs(network, patches):
    return network(torch.tensor(patches).transpose(1, 2)).detach().numpy()


def test_a_bundle_gives_the_networks_features(file, network, patches, tmp_path):
    assert "torch" in sys.modules  # and our side needs none: tests/convert
    weights = convert(file, "harnet10", tmp_path / "bundle")
    assert weights.ignored == tuple(
        f"{head}.{part}"
        for head in ("aot_h", "permute_h", "scale_h", "time_w_h")
        for part in ("bias", "weight")
    )
    assert sum(p.size for p in jax.tree.leaves(weights.params)) == 10_457_408
    model = sigjax.load(tmp_path / "bundle")
    expected = theirs(network.eval(), patches)
    assert np.abs(expected).max() > 1  # a tolerance of 1e-5 says something
    np.testing.assert_allclose(model.apply(patches), expected, rtol=1e-5, atol=1e-5)


def test_training_normalises_and_updates_as_torch_does(network, patches):
    state = {k: v.numpy().copy() for k, v in network.state_dict().items()}
    params, batch_stats = convert_harnet(state)[1:3]
    ours, new = jax.jit(
        lambda v, x: HarNet(FULL).apply(v, x, True, mutable=["batch_stats"])
    )({"params": params, "batch_stats": batch_stats}, patches)

    other = trained_network("aot_h", "scale_h", "permute_h", "time_w_h").train()
    expected = theirs(other, patches)
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-4)
    after = convert_harnet({k: v.numpy() for k, v in other.state_dict().items()})
    lengths = {"stage1": 300, "stage2": 150, "stage3": 75, "stage4": 15, "stage5": 3}
    for stage, length in lengths.items():
        n = len(patches) * length
        norms = [("norm",)]
        if stage != "stage5":
            norms += [(f"block{b}", f"norm{i}") for b in (1, 2) for i in (1, 2)]
        for path in norms:
            one, two, old = new["batch_stats"], after.batch_stats, batch_stats
            for name in (stage, *path):
                one, two, old = one[name], two[name], old[name]
            np.testing.assert_allclose(one["mean"], two["mean"], atol=2e-5)
            # PyTorch's running variance takes n / (n - 1) times the batch's.
            batch = (np.asarray(one["var"]) - 0.9 * old["var"]) * n / (n - 1)
            np.testing.assert_allclose(
                0.9 * old["var"] + batch, two["var"], rtol=1e-4, atol=1e-5
            )


def test_a_network_that_was_finetuned_there_gives_its_backbone(network, tmp_path):
    finetuned = Network("classifier")
    finetuned.load_state_dict(network.state_dict(), strict=False)
    torch.save(finetuned.state_dict(), tmp_path / "finetuned.pt")
    weights = convert_harnet(read_state_dict(tmp_path / "finetuned.pt"))
    assert weights.ignored == ("classifier.bias", "classifier.weight")
    first = network.feature_extractor.layer1[0].weight.detach().numpy()
    ours = weights.params["stage1"]["conv"]["kernel"]
    np.testing.assert_array_equal(ours, first.transpose(2, 1, 0))


def test_a_pickled_module_is_refused_by_name(network, tmp_path):
    torch.save(network, tmp_path / "module.pt")
    with pytest.raises(
        WeightsError, match="names .*benchmarks.harnet_torch.Network.*refused"
    ):
        read_state_dict(tmp_path / "module.pt")
