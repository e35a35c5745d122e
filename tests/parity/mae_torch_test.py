"""Our model, loss and gradients against the same system written in PyTorch.

The peer is the one that the benchmark measures against, so this also shows that the
benchmark compares like with like.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

torch = pytest.importorskip(
    "torch", reason="parity needs PyTorch: see the parity extra"
)

from benchmarks import mae_step_torch as peer  # noqa: E402
from sigjax.losses import spectral  # noqa: E402
from sigjax.losses.spectral import SpectralLossConfig  # noqa: E402
from sigjax.models.mae import Mae, MaeConfig  # noqa: E402
from sigjax.signal.masking import index_to_mask, random_masked_index  # noqa: E402

CONFIG = MaeConfig(
    patch_size=peer.PATCH,
    width=peer.WIDTH,
    depth=peer.DEPTH,
    num_heads=peer.HEADS,
    mlp_dim=peer.HIDDEN,
    dtype="float32",
)
BATCH = 2


def peer_weights(model, params):
    """Copies our parameters into the peer; ours lie head by head, theirs q k v."""

    def linear(layer, kernel, bias=None):
        layer.weight.copy_(torch.tensor(np.asarray(kernel).T.copy()))
        if bias is not None:
            layer.bias.copy_(torch.tensor(np.array(bias)))

    blocks = params["encoder"]["blocks"]
    with torch.no_grad():
        linear(model.embed, params["embed"]["kernel"], params["embed"]["bias"])
        linear(model.head, params["head"]["kernel"], params["head"]["bias"])
        model.mask_token.copy_(torch.tensor(np.array(params["mask_token"])))
        model.norm.weight.copy_(
            torch.tensor(np.array(params["encoder"]["norm"]["scale"]))
        )
        for i, block in enumerate(model.blocks):
            at = jax.tree.map(lambda x, i=i: np.asarray(x[i]), blocks)
            qkv = at["attention"]["qkv"]["kernel"]
            by_head = qkv.reshape(peer.WIDTH, peer.HEADS, 3, peer.HEAD_DIM)
            linear(block.qkv, by_head.swapaxes(1, 2).reshape(peer.WIDTH, -1))
            linear(block.out, at["attention"]["out"]["kernel"])
            gate, up = at["mlp"]["gate"]["kernel"], at["mlp"]["up"]["kernel"]
            linear(block.gate_up, np.concatenate([gate, up], axis=1))
            linear(block.down, at["mlp"]["down"]["kernel"])
            for name in ("attention_norm", "mlp_norm"):
                scale = at[name]["scale"]
                getattr(block, name).weight.copy_(torch.tensor(scale))
                getattr(block, name).eps = 1e-6


@pytest.fixture(scope="module")
def both():
    patches = 0.5 * jax.random.normal(jax.random.key(0), (BATCH, 300, 900))
    keys = jax.random.split(jax.random.key(1), BATCH)
    index = jax.vmap(lambda k: random_masked_index(k, 300, 180))(keys)
    params = jax.jit(Mae(CONFIG).init)(jax.random.key(2), patches[:1])["params"]
    # Trained norms are not all one; a test with ones would not see them swapped.
    noise = iter(jax.random.split(jax.random.key(3), 100))
    params = jax.tree.map(
        lambda x: x + 0.1 * jnp.abs(x).mean() * jax.random.normal(next(noise), x.shape),
        params,
    )
    model = peer.Mae()
    model.norm.eps = 1e-6
    peer_weights(model, params)
    return params, patches, index, model


def torch_of(x):
    return torch.tensor(np.array(x))


def loss_of(params, patches, index):
    mask = index_to_mask(index, 300)
    out = Mae(CONFIG).apply({"params": params}, patches, mask, index)
    target = jnp.take_along_axis(patches, index[..., None], axis=1)
    config = SpectralLossConfig(n_fft=32)
    per_channel = spectral.lmm(
        target.reshape(-1, 300), out.reconstruction.reshape(-1, 300), config
    )
    return 3 * per_channel.mean(), out.reconstruction


def test_reconstruction_loss_and_gradients_agree_with_pytorch(both):
    params, patches, index, model = both
    step = jax.jit(jax.value_and_grad(loss_of, has_aux=True))
    (loss, ours), grads = step(params, patches, index)

    x, i = torch_of(patches), torch_of(index).long()
    theirs = model(x, torch_of(index_to_mask(index, 300)), i)
    np.testing.assert_allclose(ours, theirs.detach(), rtol=1e-4, atol=2e-5)

    target = x.gather(1, i[..., None].expand(-1, -1, 900)).reshape(-1, 300)
    a = peer.log_mean_magnitude(target, 32)
    b = peer.log_mean_magnitude(theirs.reshape(-1, 300), 32)
    peer_loss = 3 * (a - b).square().mean()
    assert float(loss) == pytest.approx(peer_loss.item(), rel=1e-5)

    peer_loss.backward()
    pairs = {
        "head": (grads["head"]["kernel"].T, model.head.weight.grad),
        "embed": (grads["embed"]["kernel"].T, model.embed.weight.grad),
        "mask token": (grads["mask_token"], model.mask_token.grad),
        "first down": (
            grads["encoder"]["blocks"]["mlp"]["down"]["kernel"][0].T,
            model.blocks[0].down.weight.grad,
        ),
        "last norm": (
            grads["encoder"]["blocks"]["mlp_norm"]["scale"][-1],
            model.blocks[-1].mlp_norm.weight.grad,
        ),
    }
    for name, (mine, other) in pairs.items():
        mine, other = np.asarray(mine), other.numpy()
        error = np.linalg.norm(mine - other) / np.linalg.norm(other)
        assert error < 1e-4, f"{name}: relative error {error:.1e}"


@pytest.mark.parametrize("n_fft", [16, 32, 64, 128])
def test_log_mean_magnitude_agrees_with_torch_stft(n_fft):
    x = np.random.default_rng(0).normal(size=(50, 300)).astype(np.float32)
    ours = spectral.log_mean_magnitude(jnp.asarray(x), SpectralLossConfig(n_fft=n_fft))
    theirs = peer.log_mean_magnitude(torch.tensor(x), n_fft)
    np.testing.assert_allclose(ours, theirs, atol=2e-6)
