"""The models of anomalous sound detection against the same networks in PyTorch.

Written anew from the papers and from what the public systems are known to be; modules
are named as our parameters are, so that one function copies weights. PyTorch computes
in float64: what is left is our own rounding.
"""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

torch = pytest.importorskip(
    "torch", reason="parity needs PyTorch: see the parity extra"
)

from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from benchmarks import asd_step_torch as peer  # noqa: E402
from sigjax.models import mobilenet  # noqa: E402
from sigjax.models.frame_autoencoder import (  # noqa: E402
    FrameAutoencoder,
    FrameAutoencoderConfig,
)
from sigjax.models.mobilenet import MobileNetV2, MobileNetV2Config  # noqa: E402
from sigjax.models.section_classifier import (  # noqa: E402
    SectionClassifier,
    SectionClassifierConfig,
)
from sigjax.models.spectral_branches import (  # noqa: E402
    SpectralBranches,
    SpectralBranchesConfig,
)

NAMES = {
    "scale": "weight",
    "slope": "weight",
    "kernel": "weight",
    "mean": "running_mean",
    "var": "running_var",
}


def place(module, path):
    """PyTorch's tensor of a parameter or statistic of ours."""
    *parents, name = [entry.key for entry in path]
    if re.fullmatch(r"conv\d", name):  # a parameter without a module of its own
        parents, name = [*parents, name], "kernel"
    return getattr(module.get_submodule(".".join(parents)), NAMES.get(name, name))


def theirs_of(array, like):
    """Our layout to theirs: kernels have their output first."""
    array = np.asarray(array, np.float64)
    if array.ndim > 1:
        array = np.moveaxis(array, (-1, -2), (0, 1))
    return torch.tensor(array.reshape(like.shape))


def leaves(tree):
    return jax.tree_util.tree_leaves_with_path(tree)


def copied(module, variables):
    """`module` in float64 with all our parameters and statistics, and no others."""
    module = module.double()
    found = 0
    with torch.no_grad():
        for tree in variables.values():
            for path, value in leaves(tree):
                tensor = place(module, path)
                tensor.copy_(theirs_of(value, tensor))
                found += tensor.numel()
    state = {k: v for k, v in module.state_dict().items() if "num_batches" not in k}
    assert found == sum(v.numel() for v in state.values())
    return module


def random_variables(module, *shape):
    """Weights and statistics, none of them near those of a new network."""
    variables = jax.eval_shape(
        module.init, jax.random.key(0), jax.ShapeDtypeStruct(shape, "f4")
    )
    rng = np.random.default_rng(0)

    def draw(path, leaf):
        name = path[-1].key
        if name in ("scale", "var"):
            return rng.uniform(0.5, 1.5, leaf.shape).astype(np.float32)
        if name in ("bias", "mean", "slope"):
            return rng.normal(0.1, 0.2, leaf.shape).astype(np.float32)
        fan = max(np.prod(leaf.shape[:-1]), 1)
        return rng.normal(0, np.sqrt(2 / fan), leaf.shape).astype(np.float32)

    return jax.tree_util.tree_map_with_path(draw, variables)


def near(ours, theirs, tolerance=1e-5):
    theirs = theirs.detach().numpy()
    scale = np.abs(theirs).max()
    assert scale > 1e-3  # the tolerance says something
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance * scale)


def compare(ours, module, x, momentum, tolerance=1e-5, gradient_tolerance=1e-4):
    """Forward in both modes, gradients and statistics of `ours` and of `module`."""
    variables = random_variables(ours, *x.shape)
    module = copied(module, variables)
    x64 = torch.tensor(np.asarray(x, np.float64))

    def flat(out):
        return out if isinstance(out, tuple) else (out,)

    def weighed(params):
        out, changed = ours.apply(
            {**variables, "params": params}, x, True, mutable=["batch_stats"]
        )
        return sum((jnp.sin(o) ** 2).sum() for o in flat(out)), (flat(out), changed)

    evaluated = jax.jit(lambda v, x: flat(ours.apply(v, x)))(variables, x)
    for one, two in zip(evaluated, flat(module.eval()(x64)), strict=True):
        near(one, two, tolerance)
    step = jax.jit(jax.grad(weighed, has_aux=True))
    gradients, (trained, changed) = step(variables["params"])
    expected = flat(module.train()(x64))
    for one, two in zip(trained, expected, strict=True):
        near(one, two, tolerance)
    sum((o.sin() ** 2).sum() for o in expected).backward()
    largest = max(
        float(place(module, path).grad.abs().max()) for path, _ in leaves(gradients)
    )
    for path, value in leaves(gradients):
        expected = place(module, path).grad
        np.testing.assert_allclose(
            theirs_of(value, expected),
            expected,
            rtol=0,
            atol=gradient_tolerance * largest,
            err_msg=str(path),
        )
        assert expected.abs().max() > 0, path
    check_statistics(module, variables, changed, momentum, tolerance)


def check_statistics(module, before, changed, momentum, tolerance):
    counts = {name: m.rows for name, m in module.named_modules() if hasattr(m, "rows")}
    for path, value in leaves(changed["batch_stats"]):
        expected = place(module, path).numpy()
        name = ".".join(entry.key for entry in path[:-1])
        old = before["batch_stats"]
        for entry in path:
            old = old[entry.key]
        if path[-1].key == "var":
            # PyTorch's running variance takes n / (n - 1) times the batch's.
            n = counts[name]
            value = momentum * old + (value - momentum * old) * n / (n - 1)
        scale = np.abs(expected).max()
        np.testing.assert_allclose(
            value, expected, rtol=0, atol=tolerance * scale, err_msg=name
        )


def count_rows(module):
    """Lets every norm remember over how many values it averaged."""

    def remember(norm, inputs):
        norm.rows = inputs[0].numel() // inputs[0].shape[1]

    for m in module.modules():
        if isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d)):
            m.register_forward_pre_hook(remember)
    return module


SIZES = {
    "frames": 13,
    "mels": 10,
    "stem": 4,
    "expansion": (2,),
    "channels": 6,
    "wide": 8,
    "embedding": 5,
    "dropout": 0.0,
}


@pytest.mark.parametrize(("branch", "blocks"), [("none", 1), ("dwpw", 2), ("full", 1)])
def test_section_classifier(branch, blocks):
    sizes = {**SIZES, "linear_branch": branch, "blocks": (blocks,)}
    ours = SectionClassifier(SectionClassifierConfig(classes=3, **sizes))
    x = jax.random.normal(jax.random.key(1), (7, 13, 10))
    compare(ours, count_rows(peer.Network(3, **sizes)), x, momentum=0.9)


def test_the_benchmarks_network_has_as_many_parameters_at_full_size():
    for branch, expected in (("none", 906_822), ("dwpw", 1_006_214)):
        with torch.device("meta"):
            network = peer.Network(6, linear_branch=branch)
        assert sum(p.numel() for p in network.parameters()) == expected


class Autoencoder(nn.Module):
    def __init__(self, values, widths):
        super().__init__()
        self.count, before = len(widths), values
        for i, width in enumerate(widths, 1):
            self.add_module(f"dense{i}", nn.Linear(before, width))
            norm = nn.BatchNorm1d(width, eps=1e-3, momentum=0.01)
            self.add_module(f"norm{i}", norm)
            before = width
        self.output = nn.Linear(before, values)

    def forward(self, x):
        for i in range(1, self.count + 1):
            h = self.get_submodule(f"dense{i}")(x)
            x = self.get_submodule(f"norm{i}")(h).relu()
        return self.output(x)


def test_frame_autoencoder():
    config = FrameAutoencoderConfig(frames=2, mels=6, widths=(8, 7), code=3)
    network = count_rows(Autoencoder(12, (8, 7, 3, 7, 8)))
    # A mean as far from 0 as that of a log-mel in dB.
    x = 10 * jax.random.normal(jax.random.key(1), (40, 12)) - 60
    compare(FrameAutoencoder(config), network, x, momentum=0.99)


class Inverted(nn.Module):
    def __init__(self, before, width, expansion, stride):
        super().__init__()
        hidden = before * expansion
        self.stride, self.same = stride, before == width and stride == 1
        if expansion != 1:
            self.expand = nn.Conv2d(before, hidden, 1, bias=False)
            self.expand_norm = nn.BatchNorm2d(hidden, 1e-3, 0.001)
        self.depthwise = nn.Conv2d(hidden, hidden, 3, stride, groups=hidden, bias=False)
        self.depthwise_norm = nn.BatchNorm2d(hidden, 1e-3, 0.001)
        self.project = nn.Conv2d(hidden, width, 1, bias=False)
        self.project_norm = nn.BatchNorm2d(width, 1e-3, 0.001)

    def forward(self, x):
        h = x
        if hasattr(self, "expand"):
            h = F.relu6(self.expand_norm(self.expand(h)))
        h = self.depthwise(keras_padded(h, self.stride))
        h = F.relu6(self.depthwise_norm(h))
        h = self.project_norm(self.project(h))
        return h + x if self.same else h


def keras_padded(x, stride):
    """Zeros as Keras pads a 3x3 convolution: at stride 2, where ends need them."""
    pads = []
    for size in (x.shape[3], x.shape[2]):  # the last axis first
        out = -(-size // stride)
        total = (out - 1) * stride + 3 - size
        pads += [total // 2, total - total // 2]
    return F.pad(x, pads)


# Fewer than the network has: the rest is more of the same.
MOBILE_STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 64, 1, 2))


class Mobile(nn.Module):
    def __init__(self, classes, first, widths):
        super().__init__()
        self.stem = nn.Conv2d(3, first, 3, 2, bias=False)
        self.stem_norm = nn.BatchNorm2d(first, 1e-3, 0.001)
        before, self.blocks = first, 0
        stages = zip(MOBILE_STAGES, widths, strict=True)
        for (t, _, n, s), width in stages:
            for i in range(n):
                self.blocks += 1
                block = Inverted(before, width, t, s if i == 0 else 1)
                self.add_module(f"block{self.blocks}", block)
                before = width
        self.last = nn.Conv2d(before, 1280, 1, bias=False)
        self.last_norm = nn.BatchNorm2d(1280, 1e-3, 0.001)
        self.head = nn.Linear(1280, classes)

    def forward(self, x):
        x = torch.stack([x, x, x], dim=1)
        x = F.relu6(self.stem_norm(self.stem(keras_padded(x, 2))))
        for i in range(1, self.blocks + 1):
            x = self.get_submodule(f"block{i}")(x)
        x = F.relu6(self.last_norm(self.last(x))).mean((2, 3))
        return x, self.head(x)


def test_mobilenet(monkeypatch):
    monkeypatch.setattr(mobilenet, "STAGES", MOBILE_STAGES)
    # Channels of alpha = 0.25, rounded to multiples of 8.
    network = Mobile(3, 8, (8, 8, 16))
    ours = MobileNetV2(MobileNetV2Config(classes=3, alpha=0.25, frames=37, mels=32))
    x = jax.random.normal(jax.random.key(1), (2, 37, 32))
    variables = random_variables(ours, *x.shape)
    found = jax.jit(ours.apply)(variables, x)
    expected = copied(network, variables).eval()(torch.tensor(np.array(x)).double())
    for one, two in zip(found, expected, strict=True):
        near(one, two)


class Gate(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.squeeze = nn.Linear(width, max(width // 16, 1), bias=False)
        self.excite = nn.Linear(max(width // 16, 1), width, bias=False)

    def forward(self, x):
        mean = x.flatten(2).mean(2)
        gate = torch.sigmoid(self.excite(self.squeeze(mean).relu()))
        return x * gate.view(*gate.shape, *[1] * (x.ndim - 2))


class SpectrogramBlock(nn.Module):
    def __init__(self, before, width, stride):
        super().__init__()
        self.norm1 = nn.BatchNorm2d(before, affine=False)
        self.norm2 = nn.BatchNorm2d(width, affine=False)
        self.conv1 = nn.Conv2d(before, width, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.gate = Gate(width)
        self.pool = nn.MaxPool2d(3, 2, 1) if stride == 2 else None
        if stride == 2:
            self.shortcut = nn.Conv2d(before, width, 1, bias=False)

    def forward(self, x):
        x = self.norm1(x)
        h = self.norm2(self.conv1(x.relu())).relu()
        h = self.gate(self.conv2(h))
        return (self.shortcut(self.pool(x)) if self.pool else x) + h


class SpectrogramBranch(nn.Module):
    def __init__(self, n_fft, first, last, width):
        super().__init__()
        self.n_fft, self.first, self.last = n_fft, first, last
        self.norm = nn.BatchNorm1d(last - first, affine=False)
        self.stem = nn.Conv2d(1, width // 8, 7, 2, bias=False)
        self.stem_norm = nn.BatchNorm2d(width // 8, affine=False)
        self.names, before = [], width // 8
        for i, share in enumerate((8, 4, 2, 1), 1):
            for j in (1, 2):
                stride = 2 if i > 1 and j == 1 else 1
                self.names.append(f"stage{i}_block{j}")
                block = SpectrogramBlock(before, width // share, stride)
                self.add_module(self.names[-1], block)
                before = width // share
        bins = ((last - first - 7) // 2 + 1 - 3) // 2 + 1
        for _ in range(3):
            bins = (bins - 1) // 2 + 1
        self.flat_norm = nn.BatchNorm1d(bins * width, affine=False)
        self.embedding = nn.Linear(bins * width, width, bias=False)

    def forward(self, wave):
        window = torch.hann_window(self.n_fft, dtype=wave.dtype)
        x = (
            torch.stft(
                wave,
                self.n_fft,
                self.n_fft // 2,
                window=window,
                center=True,
                pad_mode="constant",
                return_complex=True,
            ).abs()
            / window.square().sum().sqrt()
        )
        x = self.norm(x[:, self.first : self.last])
        x = self.stem_norm(self.stem(x.transpose(1, 2)[:, None])).relu()
        x = F.max_pool2d(x, 3, 2)
        for name in self.names:
            x = self.get_submodule(name)(x)
        x = x.amax(2).transpose(1, 2).flatten(1)
        return self.embedding(self.flat_norm(x))


class SpectrumBranch(nn.Module):
    def __init__(self, width, length):
        super().__init__()
        before = 1
        for i, (taps, stride) in enumerate(((256, 64), (64, 32), (16, 4)), 1):
            conv = nn.Conv1d(before, width, taps, stride, bias=False)
            self.add_module(f"conv{i}", conv)
            self.add_module(f"gate{i}", Gate(width))
            length, before = (length - taps) // stride + 1, width
        before = length * width
        for i in range(1, 6):
            self.add_module(f"dense{i}", nn.Linear(before, width, bias=False))
            self.add_module(f"norm{i}", nn.BatchNorm1d(width, affine=False))
            before = width
        self.embedding = nn.Linear(width, width, bias=False)

    def forward(self, wave):
        x = torch.fft.rfft(wave).abs()[:, None]
        for i in (1, 2, 3):
            x = self.get_submodule(f"conv{i}")(x).relu()
            x = self.get_submodule(f"gate{i}")(x)
        x = x.transpose(1, 2).flatten(1)
        for i in range(1, 6):
            h = self.get_submodule(f"dense{i}")(x)
            x = self.get_submodule(f"norm{i}")(h).relu()
        return self.embedding(x)


class Branches(nn.Module):
    def __init__(self, **branches):
        super().__init__()
        for name, branch in branches.items():
            self.add_module(name, branch)

    def forward(self, wave):
        embedding = torch.cat([branch(wave) for branch in self.children()], 1)
        return embedding, embedding[:, :0]


def waves(rows, samples):
    return 0.1 * jax.random.normal(jax.random.key(1), (rows, samples))


def test_spectrogram_branch():
    config = SpectralBranchesConfig(
        classes=0,
        rate_hz=1000,
        clip_s=3.0,  # maps of several frames remain
        n_fft=(76,),
        spectrum=False,
        f_min_hz=25.0,
        width=8,
    )
    network = Branches(stft76=SpectrogramBranch(76, 2, 39, 8))
    ours = SpectralBranches(config)
    x = waves(5, 3000)
    variables = random_variables(ours, *x.shape)
    module = copied(network, variables)
    x64 = torch.tensor(np.array(x)).double()
    found = jax.jit(lambda v, x: ours.apply(v, x, True, mutable=["batch_stats"]))
    near(found(variables, x)[0].embedding, module.train()(x64)[0])


def test_spectrum_branch():
    config = SpectralBranchesConfig(
        classes=0, rate_hz=1000, clip_s=70.5, n_fft=(), width=16
    )
    network = count_rows(Branches(spectrum=SpectrumBranch(16, 35_251)))
    ours = SpectralBranches(config)
    x = waves(6, 70_500)
    variables = random_variables(ours, *x.shape)
    module = copied(network, variables)
    x64 = torch.tensor(np.array(x)).double()
    for train in (False, True):
        found = jax.jit(
            lambda v, x, t=train: ours.apply(v, x, t, mutable=["batch_stats"])[0]
        )(variables, x)
        near(found.embedding, module.train(train)(x64)[0], 1e-4)
