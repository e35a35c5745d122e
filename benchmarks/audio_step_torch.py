"""Peer of `benchmarks.audio_step`: the same training step in PyTorch.

AST and the pyramid of DAT (v1) are written anew here; deformable attention has the
structure of the public module (`benchmarks.deformable_attention_torch`). Attention of
AST and its gradients are PyTorch's own fused ones. Mixup of waves, Kaldi's filter
banks, SpecAugment, cross-entropy and fused AdamW; on GPU compiled, in bfloat16
autocast.
"""

import argparse
import math

import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.deformable_attention import Shape
from benchmarks.deformable_attention_torch import DeformableAttention
from benchmarks.torch_peer import serve_steps

RATE_HZ, CLIP_S, FRAMES, BANDS, CLASSES = 16_000, 10, 1024, 128, 309
SIZE, HOP, N_FFT = 400, 160, 512
MEAN, STD = -4.2677393, 4.5689974
TIME_MASK, BAND_MASK, MIXUP, ALPHA = 192, 48, 0.5, 10.0
WINDOW, SHIFT, HEAD = 7, 4, 32
# Width, heads, depth of AST; drop path and blocks per stage of DAT.
AST = {"base": (768, 12), "small": (384, 6), "tiny": (192, 3)}
DAT = ("LS", "LS", "LDLDLD", "LD")


class AstBlock(nn.Module):
    """Attention and MLP, normalised before."""

    def __init__(self, width: int, heads: int):
        """Builds the layers."""
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width, 1e-6), nn.LayerNorm(width, 1e-6)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        """`[b, n, d]` to `[b, n, d]`."""
        qkv = self.qkv(self.norm1(x)).unflatten(-1, (3, self.heads, -1))
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        h = F.scaled_dot_product_attention(q, k, v)
        x = x + self.out(h.transpose(1, 2).flatten(2))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class Ast(nn.Module):
    """Audio spectrogram transformer: `[b, t, f]` to `[b, d]`."""

    def __init__(self, size: str):
        """Builds the layers."""
        super().__init__()
        width, heads = AST[size]
        self.width = width
        count = ((BANDS - 16) // 10 + 1) * ((FRAMES - 16) // 10 + 1)
        self.patch = nn.Conv2d(1, width, 16, 10)
        self.tokens = nn.Parameter(0.02 * torch.randn(2, width))
        self.positions = nn.Parameter(0.02 * torch.randn(2 + count, width))
        self.blocks = nn.Sequential(*(AstBlock(width, heads) for _ in range(12)))
        self.norm = nn.LayerNorm(width, 1e-6)

    def forward(self, x):
        """`[b, t, f]` to `[b, d]`."""
        x = self.patch(x.mT[:, None]).flatten(2).mT
        x = torch.cat([self.tokens.expand(len(x), -1, -1), x], 1) + self.positions
        return self.norm(self.blocks(x))[:, :2].mean(1)


class WindowAttention(nn.Module):
    """Attention in windows of 7, padded where they do not divide the map."""

    index: torch.Tensor
    mask: torch.Tensor

    def __init__(self, width: int, heads: int, shift: int, rows: int, columns: int):
        """Builds layers, index and mask."""
        super().__init__()
        self.heads, self.shift, self.size = heads, shift, (rows, columns)
        self.whole = tuple(-(-n // WINDOW) * WINDOW for n in self.size)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.table = nn.Parameter(0.01 * torch.randn((2 * WINDOW - 1) ** 2, heads))
        at = torch.stack(torch.meshgrid(*[torch.arange(WINDOW)] * 2, indexing="ij"), -1)
        between = at.reshape(-1, 1, 2) - at.reshape(1, -1, 2) + WINDOW - 1
        index = between[..., 0] * (2 * WINDOW - 1) + between[..., 1]
        self.register_buffer("index", index, persistent=False)
        self.register_buffer("mask", self._mask(), persistent=False)

    def _mask(self) -> torch.Tensor:
        region = torch.zeros(self.whole)
        if self.shift:
            for axis, size in enumerate(self.whole):
                at = torch.arange(size)
                along = (at >= size - WINDOW).float() + (at >= size - self.shift)
                region += (along * (3, 1)[axis]).unsqueeze(1 - axis)
        real = torch.zeros(self.whole)
        real[: self.size[0], : self.size[1]] = 1
        real = real.roll((-self.shift, -self.shift), (0, 1))
        cut = [self._cut(x[None, ..., None])[:, :, 0] for x in (region, real)]
        apart = -100.0 * (cut[0][:, :, None] != cut[0][:, None])
        hide = (cut[1][:, None] == 0) & (cut[1].amax(1) > 0)[:, None, None]
        return apart.masked_fill(hide, -torch.inf)[:, None]

    def _cut(self, x):
        b, (rows, columns), c = len(x), self.whole, x.shape[-1]
        x = x.reshape(b, rows // WINDOW, WINDOW, columns // WINDOW, WINDOW, c)
        return x.transpose(2, 3).reshape(-1, WINDOW * WINDOW, c)

    def forward(self, x):
        """`[b, h, w, c]` to `[b, h, w, c]`."""
        b, (rows, columns), c = len(x), self.size, x.shape[-1]
        x = F.pad(x, (0, 0, 0, self.whole[1] - columns, 0, self.whole[0] - rows))
        if self.shift:
            x = x.roll((-self.shift, -self.shift), (1, 2))
        qkv = self.qkv(self._cut(x)).unflatten(-1, (3, self.heads, -1))
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        bias = self.table[self.index].permute(2, 0, 1)
        logits = q * HEAD**-0.5 @ k.mT + bias
        logits = logits.reshape(b, -1, *logits.shape[1:]) + self.mask
        h = logits.softmax(-1).reshape(-1, *logits.shape[2:]).to(v.dtype) @ v
        h = self.out(h.transpose(1, 2).flatten(2))
        h = h.reshape(
            b, self.whole[0] // WINDOW, self.whole[1] // WINDOW, WINDOW, WINDOW, c
        )
        h = h.transpose(2, 3).reshape(b, *self.whole, c)
        if self.shift:
            h = h.roll((self.shift, self.shift), (1, 2))
        return h[:, :rows, :columns]


class DatBlock(nn.Module):
    """Attention of a kind and MLP, normalised before, in channels-last maps."""

    def __init__(self, kind: str, stage: int, width: int, size: tuple, rate: float):
        """Builds the layers."""
        super().__init__()
        heads = width // HEAD
        self.kind, self.rate = kind, rate
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        if kind == "D":
            self.attention: nn.Module = DeformableAttention(
                Shape(
                    convention="v1",
                    stage=stage,
                    width=width,
                    heads=heads,
                    groups=heads // 4,
                    rows=size[0],
                    columns=size[1],
                    taps=(9, 7, 5, 3)[stage - 1],
                    stride=1,
                    factor=2.0,
                )
            )
        else:
            shift = SHIFT if kind == "S" else 0
            self.attention = WindowAttention(width, heads, shift, *size)

    def _kept(self, x):
        if not self.rate:
            return x
        shape = (len(x), 1, 1, 1)
        keep = torch.rand(shape, device=x.device) >= self.rate
        return x * keep / (1 - self.rate)

    def forward(self, x):
        """`[b, h, w, c]` to `[b, h, w, c]`."""
        h = self.norm1(x)
        if self.kind == "D":
            h = self.attention(h.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        else:
            h = self.attention(h)
        x = x + self._kept(h)
        return x + self._kept(self.down(F.gelu(self.up(self.norm2(x)))))


class Dat(nn.Module):
    """The pyramid of v1-T: `[b, t, f]` to `[b, d]`."""

    def __init__(self, first: int = 96, drop_path: float = 0.2):
        """Builds the layers."""
        super().__init__()
        rates = iter(torch.linspace(0, drop_path, sum(map(len, DAT))).tolist())
        self.convolutions, self.norms = nn.ModuleList(), nn.ModuleList()
        self.stages, before = nn.ModuleList(), 1
        for stage, letters in enumerate(DAT):
            width, factor = first * 2**stage, 4 * 2**stage
            taps = 2 if stage else 4
            self.convolutions.append(
                nn.Conv2d(before, width, taps, taps, bias=not stage)
            )
            self.norms.append(nn.LayerNorm(width))
            size = (BANDS // factor, FRAMES // factor)
            blocks = (
                DatBlock(letter, stage + 1, width, size, next(rates))
                for letter in letters
            )
            self.stages.append(nn.Sequential(*blocks))
            before = width
        self.width, self.norm = before, nn.LayerNorm(before)

    def forward(self, x):
        """`[b, t, f]` to `[b, d]`."""
        x = x.mT[..., None]
        layers = zip(self.convolutions, self.norms, self.stages, strict=True)
        for convolution, norm, stage in layers:
            x = convolution(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
            x = stage(norm(x))
        return self.norm(x).mean((1, 2))


def mel_filters() -> torch.Tensor:
    """Kaldi's triangles, `[257, 128]`."""

    def mel(hz: float) -> float:
        return 1127 * math.log(1 + hz / 700)

    bins = torch.tensor([mel(k * RATE_HZ / N_FFT) for k in range(N_FFT // 2)])
    step = (mel(RATE_HZ / 2) - mel(20)) / (BANDS + 1)
    place = (bins[:, None] - mel(20)) / step - torch.arange(BANDS)
    return F.pad(torch.minimum(place, 2 - place).clamp_min(0), (0, 0, 0, 1))


class Training:
    """Network, optimizer and one batch on the device."""

    def __init__(self, network: str, batch: int, device: str):
        """Draws data and builds what a step needs."""
        self.device = device
        kind, _, size = network.partition("_")
        backbone = Ast(size) if kind == "ast" else Dat()
        head: list[nn.Module] = [nn.Linear(backbone.width, CLASSES)]
        if kind == "ast":
            head = [nn.LayerNorm(backbone.width), *head]
        self.network = nn.Sequential(backbone, *head).to(device)
        samples = RATE_HZ * CLIP_S
        self.wave = (3000 * torch.randn(batch, samples, device=device)).short()
        self.label = torch.arange(batch, device=device) % CLASSES
        self.filters = mel_filters().to(device)
        self.window = torch.hann_window(SIZE, periodic=False, device=device)
        self.share = torch.distributions.Beta(ALPHA, ALPHA)
        self.optimizer = torch.optim.AdamW(self.network.parameters(), 1e-5, fused=True)
        compiled = device == "cuda"
        self.loss = torch.compile(self._loss) if compiled else self._loss

    def banks(self, wave):
        """`[b, s]` to `[b, 1024, 128]`."""
        x = wave.unfold(-1, SIZE, HOP)
        x = x - x.mean(-1, keepdim=True)
        x = x - 0.97 * torch.cat([x[..., :1], x[..., :-1]], -1)
        power = torch.fft.rfft(x * self.window, N_FFT).abs().square()
        banks = (power @ self.filters).clamp_min(1.1920929e-07).log()
        return F.pad(banks, (0, 0, 0, FRAMES - banks.shape[1]))

    def _masked(self, x):
        for axis, width in ((1, TIME_MASK), (2, BAND_MASK)):
            size = x.shape[axis]
            wide, place = torch.rand(2, len(x), 1, device=x.device)
            wide = wide * width
            first = (place * (size - wide)).floor()
            at = torch.arange(size, device=x.device)
            hidden = (at >= first) & (at < first + wide.floor())
            x = x.masked_fill(hidden.unsqueeze(3 - axis), 0.0)
        return x

    def _loss(self, wave, share, other):
        x = self._masked(self.banks(wave))
        x = (x - MEAN) / (2 * STD)
        with torch.autocast(self.device, torch.bfloat16, enabled=self.device == "cuda"):
            logits = self.network(x)
        target = F.one_hot(self.label, CLASSES) * share[:, None]
        target = target + F.one_hot(other, CLASSES) * (1 - share[:, None])
        return F.cross_entropy(logits.float(), target)

    def step(self) -> None:
        """Mixup, filter banks, masks, forward, backward, AdamW."""
        self.optimizer.zero_grad(set_to_none=True)
        count = len(self.wave)
        wave = self.wave.float() / 32768
        share = self.share.sample((count,)).to(self.device)
        mixed = torch.rand(count, device=self.device) < MIXUP
        share = torch.where(mixed, share, torch.ones_like(share))
        order = torch.randperm(count, device=self.device)
        wave = share[:, None] * wave + (1 - share[:, None]) * wave[order]
        self.loss(wave, share, self.label[order]).backward()
        self.optimizer.step()


def main() -> None:
    """Serves timed training steps."""
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--network", required=True)
    flags.add_argument("--batch", type=int, required=True)
    flags.add_argument("--steps", type=int, required=True)
    args = flags.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    training = Training(args.network, args.batch, device)
    parameters = sum(p.numel() for p in training.network.parameters())
    about = {"parameters": parameters}
    serve_steps(training, steps=args.steps, device=device, about=about)


if __name__ == "__main__":
    main()
