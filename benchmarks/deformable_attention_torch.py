"""Peer of `benchmarks.deformable_attention`: deformable attention in PyTorch.

By default a module written here after the structure of the public one: offsets of
groups in the batch, `grid_sample` of features and of the bias table, logits and their
softmax written out. With `--dat_checkout` the public class itself is taken, out of
checkouts of github.com/LeapLabTHU/DAT: 566a593 for v1, 32173fc for pp.
"""

import argparse
import functools
import importlib.util
import pathlib
import sys
import time
import warnings

import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.deformable_attention import SHAPES, Shape
from benchmarks.peak import peak_mb
from benchmarks.torch_peer import serve

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of `[b, c, h, w]`."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`[b, c, h, w]` to `[b, c, h, w]`."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class DeformableAttention(nn.Module):
    """The structure of the public module, conventions `"v1"` and `"pp"`."""

    def __init__(self, shape: Shape):
        """Layers of the public sizes."""
        super().__init__()
        self.shape = shape
        width, group = shape.width, shape.width // shape.groups
        taps, stride = shape.taps, shape.stride
        self.offsets = nn.Sequential(
            nn.Conv2d(
                group,
                group,
                taps,
                stride,
                0 if shape.convention == "pp" and taps == stride else taps // 2,
                groups=group,
            ),
            ChannelNorm(group),
            nn.GELU(),
            nn.Conv2d(group, 2, 1, bias=False),
        )
        self.q, self.k, self.v, self.out = (
            nn.Conv2d(width, width, 1) for _ in range(4)
        )
        table = (shape.heads, 2 * shape.rows - 1, 2 * shape.columns - 1)
        self.table = nn.Parameter(0.01 * torch.randn(table))

    def points(self, rows: int, columns: int) -> torch.Tensor:
        """Reference points of keys, `[rows, columns, 2]` of (y, x)."""
        less = 1 if self.shape.convention == "pp" else 0
        axes = (
            (torch.arange(size, device=DEVICE) + 0.5) / (size - less) * 2 - 1
            for size in (rows, columns)
        )
        return torch.stack(torch.meshgrid(*axes, indexing="ij"), -1)

    def queries(self, rows: int, columns: int) -> torch.Tensor:
        """Points of queries, likewise."""
        if self.shape.convention == "v1":
            return self.points(rows, columns)
        axes = (torch.linspace(-1, 1, size, device=DEVICE) for size in (rows, columns))
        return torch.stack(torch.meshgrid(*axes, indexing="ij"), -1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`[b, c, h, w]` to `[b, c, h, w]`."""
        shape = self.shape
        batch, width, rows, columns = x.shape
        folded = (batch * shape.groups, width // shape.groups)
        q = self.q(x)
        offset = self.offsets(q.reshape(*folded, rows, columns))
        size = offset.shape[2:]
        if shape.factor > 0:
            limit = torch.tensor([1 / n for n in size], device=DEVICE)
            offset = offset.tanh() * limit[:, None, None] * shape.factor
        points = offset.permute(0, 2, 3, 1) + self.points(*size)
        if shape.factor < 0:
            points = points.clamp(-1, 1)
        sampled = F.grid_sample(
            x.reshape(*folded, rows, columns), points.flip(-1), align_corners=True
        )
        sampled = sampled.reshape(batch, width, 1, -1)
        heads = (batch * shape.heads, width // shape.heads)
        q, k, v = (y.reshape(*heads, -1) for y in (q, self.k(sampled), self.v(sampled)))
        logits = torch.einsum("bcm,bcn->bmn", q, k) * heads[1] ** -0.5
        between = self.queries(rows, columns).reshape(1, -1, 1, 2) - points.reshape(
            folded[0], 1, -1, 2
        )
        table = self.table[None].expand(batch, -1, -1, -1)
        table = table.reshape(folded[0], -1, *table.shape[2:])
        bias = F.grid_sample(table, between.mul(0.5).flip(-1), align_corners=True)
        logits = (logits + bias.reshape(logits.shape)).softmax(-1)
        mixed = torch.einsum("bmn,bcn->bcm", logits, v)
        return self.out(mixed.reshape(batch, width, rows, columns))


class First(nn.Module):
    """A module that returns the first of what the inner one returns."""

    def __init__(self, inner: nn.Module):
        """Wraps `inner`."""
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The inner module's first output."""
        return self.inner(x)[0]


def public(shape: Shape, folder: str) -> nn.Module:
    """The public class, out of a checkout."""
    file = pathlib.Path(folder) / "models" / "dat_blocks.py"
    spec = importlib.util.spec_from_file_location(f"dat_{shape.convention}", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        spec.loader.exec_module(module)
    size = (shape.rows, shape.columns)
    last = (shape.stage - 1,) if shape.convention == "v1" else (shape.taps, False)
    if shape.convention == "v1":
        keys = size
    else:
        keys = tuple(n // shape.stride for n in size)
    inner = module.DAttentionBaseline(
        *(size, keys, shape.heads, shape.width // shape.heads, shape.groups),
        *(0.0, 0.0, shape.stride, shape.factor, True, False, False, False),
        *last,
    )
    return First(inner)


def peak(call) -> float:
    """MiB that `call` holds at most beyond what was held before."""
    if DEVICE == "cpu":
        return peak_mb(call)
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    call()
    return (torch.cuda.max_memory_allocated() - before) / 2**20


class Work:
    """Modules and inputs by shape, made when first asked for."""

    def __init__(self, checkouts: dict[str, str], dtype: torch.dtype, compile_: bool):
        """Keeps the options."""
        self.checkouts, self.dtype, self.compile = checkouts, dtype, compile_

    @functools.cache  # noqa: B019
    def of(self, name: str, batch: int):
        """Module and input."""
        shape = SHAPES[name]
        torch.manual_seed(0)
        folder = self.checkouts.get(shape.convention)
        module = public(shape, folder) if folder else DeformableAttention(shape)
        module = module.to(DEVICE, self.dtype)
        if self.compile:
            module = torch.compile(module)
        x = torch.randn(batch, shape.width, shape.rows, shape.columns, device=DEVICE)
        return module, x.to(self.dtype)

    def call(self, kind: str, name: str, batch: int) -> None:
        """One forward, or forward and backward with gradients of all."""
        module, x = self.of(name, batch)
        if kind == "forward":
            with torch.no_grad():
                module(x)
        else:
            x = x.detach().requires_grad_()
            out = module(x)
            out.backward(torch.ones_like(out))
            for each in module.parameters():
                each.grad = None
        if DEVICE == "cuda":
            torch.cuda.synchronize()

    def run(self, what: str) -> float:
        """Seconds (or, for `"peak_..."`, MiB) of one `"kind|name|batch|calls"`."""
        kind, name, batch, repeats = what.split("|")
        if kind.startswith("peak_"):
            kind = kind.removeprefix("peak_")
            return peak(lambda: self.call(kind, name, int(batch)))
        spent = []
        for _ in range(int(repeats)):
            start = time.perf_counter()
            self.call(kind, name, int(batch))
            spent.append(time.perf_counter() - start)
        return min(spent)


def main() -> None:
    """Serves."""
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--dat_checkout", default="", help="v1=DIR,pp=DIR")
    flags.add_argument("--dtype", default="float32")
    flags.add_argument("--compile", action="store_true")
    args = flags.parse_args()
    parts = filter(None, args.dat_checkout.split(","))
    checkouts = dict(part.split("=", 1) for part in parts)
    work = Work(checkouts, getattr(torch, args.dtype), args.compile)
    about = {"torch": torch.__version__, "public": sorted(checkouts), "device": DEVICE}
    serve(about, work.run)


if __name__ == "__main__":
    sys.exit(main())
