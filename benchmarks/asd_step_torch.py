"""Peer of `benchmarks.asd_step`: the same training step in PyTorch.

The network is written anew from Table 1 of "Self-supervised Anomalous Sound Detection
for Machine Condition Monitoring"; the names of its modules are those of our parameters,
so that the parity tests can copy weights. Log-mel by torch.stft and a matrix product,
Mixup on waves, cross-entropy and center loss, fused Adam; channels last. On GPU
compiled, in bfloat16 autocast.
"""

import argparse

import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.torch_peer import serve_steps

RATE_HZ, CLIP_S, N_FFT, HOP, MELS, FRAMES = 16_000, 10, 1024, 512, 128, 313
CENTRE_WEIGHT, CENTRE_RATE, MIXUP = 0.01, 0.5, 0.5


def _conv(before: int, width: int, taps: int = 1, stride: int = 1, groups: int = 1):
    return nn.Conv2d(before, width, taps, stride, taps // 2, groups=groups, bias=False)


class DualBlock(nn.Module):
    """Inverted residual and linear branch, summed."""

    def __init__(self, before: int, width: int, expansion: int, stride: int, kind: str):
        """Builds the layers."""
        super().__init__()
        hidden = before * expansion
        self.kind, self.identity = kind, stride == 1 and before == width
        for branch in ("main",) if kind != "full" else ("main", "linear"):
            layers = {
                "expand": (_conv(before, hidden), hidden),
                "depthwise": (_conv(hidden, hidden, 3, stride, hidden), hidden),
                "project": (_conv(hidden, width), width),
            }
            for part, (layer, channels) in layers.items():
                self.add_module(f"{branch}_{part}", layer)
                self.add_module(f"{branch}_{part}_norm", nn.BatchNorm2d(channels))
        self.main_expand_prelu = nn.PReLU(hidden)
        self.main_depthwise_prelu = nn.PReLU(hidden)
        if kind == "dwpw":
            self.linear_depthwise = _conv(before, before, 3, stride, before)
            self.linear_depthwise_norm = nn.BatchNorm2d(before)
            self.linear_project = _conv(before, width)
            self.linear_project_norm = nn.BatchNorm2d(width)

    def _through(self, x, *names):
        for name in names:
            x = self.get_submodule(name)(x)
        return x

    def forward(self, x):
        """`[b, c, t, f]` to `[b, d, p, q]`."""
        h = self._through(x, "main_expand", "main_expand_norm", "main_expand_prelu")
        h = self._through(h, "main_depthwise", "main_depthwise_norm")
        h = self._through(h, "main_depthwise_prelu")
        y = self._through(h, "main_project", "main_project_norm")
        if self.kind != "none":
            h = x
            if self.kind == "full":
                h = self._through(h, "linear_expand", "linear_expand_norm")
            h = self._through(h, "linear_depthwise", "linear_depthwise_norm")
            y = y + self._through(h, "linear_project", "linear_project_norm")
        return y + x if self.identity else y


class Network(nn.Module):
    """Section classifier: spectrograms to embedding and logits."""

    def __init__(
        self,
        classes: int,
        *,
        frames: int = FRAMES,
        mels: int = MELS,
        stem: int = 64,
        expansion: tuple[int, ...] = (2, 4, 4),
        channels: int = 128,
        blocks: tuple[int, ...] = (2, 2, 2),
        wide: int = 512,
        embedding: int = 128,
        linear_branch: str = "dwpw",
        dropout: float = 0.2,
    ):
        """Builds the layers."""
        super().__init__()
        self.stem1, self.stem1_norm = _conv(1, stem, 3, 2), nn.BatchNorm2d(stem)
        self.stem2, self.stem2_norm = _conv(stem, stem, 3), nn.BatchNorm2d(stem)
        self.stem1_prelu, self.stem2_prelu = nn.PReLU(stem), nn.PReLU(stem)
        self.names, before = [], stem
        for i, (t, n) in enumerate(zip(expansion, blocks, strict=True), 1):
            for j in range(1, n + 1):
                block = DualBlock(
                    before, channels, t, 2 if j == 1 else 1, linear_branch
                )
                self.names.append(f"stage{i}_block{j}")
                self.add_module(self.names[-1], block)
                before = channels
        for _ in range(1 + len(blocks)):
            frames, mels = (frames + 1) // 2, (mels + 1) // 2
        self.wide, self.wide_norm = _conv(before, wide), nn.BatchNorm2d(wide)
        self.wide_prelu = nn.PReLU(wide)
        map_kernel = nn.Conv2d(wide, wide, (frames, mels), groups=wide, bias=False)
        self.add_module("global", map_kernel)
        self.global_norm = nn.BatchNorm2d(wide)
        self.embedding = _conv(wide, embedding)
        self.embedding_norm = nn.BatchNorm2d(embedding)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(embedding, classes)

    def forward(self, x):
        """`[b, t, f]` to `[b, d]` and `[b, v]`."""
        x = x[:, None].contiguous(memory_format=torch.channels_last)
        x = self.stem1_prelu(self.stem1_norm(self.stem1(x)))
        x = self.stem2_prelu(self.stem2_norm(self.stem2(x)))
        for name in self.names:
            x = self.get_submodule(name)(x)
        x = self.wide_prelu(self.wide_norm(self.wide(x)))
        x = self.global_norm(self.get_submodule("global")(x))
        x = self.embedding_norm(self.embedding(x)).flatten(1)
        return x, self.head(self.dropout(x))


class Training:
    """Network, optimizer and one batch on the device."""

    def __init__(self, batch: int, classes: int, device: str, **sizes):
        """Draws data and builds what a step needs."""
        self.device = device
        self.network = Network(classes, **sizes).to(device)
        # What is fastest for PyTorch; missing from its type stubs.
        self.network.to(memory_format=torch.channels_last)  # pyright: ignore
        samples = RATE_HZ * CLIP_S
        self.wave = (3000 * torch.randn(batch, samples, device=device)).short()
        self.label = torch.arange(batch, device=device) % classes
        self.centres = torch.zeros(classes, self.network.head.in_features).to(device)
        # Any bands: the work is the same.
        self.bands = torch.rand(N_FFT // 2 + 1, MELS, device=device)
        self.window = torch.hann_window(N_FFT, device=device)
        self.optimizer = torch.optim.Adam(self.network.parameters(), 1e-3, fused=True)
        compiled = device == "cuda"
        self.loss = torch.compile(self._loss) if compiled else self._loss

    def log_mel(self, wave: torch.Tensor) -> torch.Tensor:
        """`[b, s]` to normalised `[b, t, f]`."""
        spectrum = torch.stft(
            wave,
            N_FFT,
            HOP,
            window=self.window,
            center=True,
            pad_mode="constant",
            return_complex=True,
        )
        power = spectrum.real.square() + spectrum.imag.square()
        bands = (power.transpose(1, 2) @ self.bands).clamp_min(2.2e-16)
        return (10 * bands.log10() - 20.0) / 10.0

    def _mixed(self):
        wave = self.wave.float() / 32768
        share = torch.rand(len(wave), device=self.device)
        mixed = torch.rand(len(wave), device=self.device) < MIXUP
        share = torch.where(mixed, share, torch.ones_like(share))
        order = torch.randperm(len(wave), device=self.device)
        wave = share[:, None] * wave + (1 - share[:, None]) * wave[order]
        return wave, share, self.label[order]

    def _loss(self, wave, share, other):
        with torch.autocast(self.device, torch.bfloat16, enabled=self.device == "cuda"):
            embedding, logits = self.network(self.log_mel(wave))
        embedding, logits = embedding.float(), logits.float()

        def of(label):
            pull = (embedding - self.centres[label]).square().sum(1) / 2
            entropy = F.cross_entropy(logits, label, reduction="none")
            return entropy + CENTRE_WEIGHT * pull

        return (share * of(self.label) + (1 - share) * of(other)).mean(), embedding

    @torch.no_grad()
    def _move(self, embedding, share, other):
        x = torch.cat([embedding, embedding])
        label = torch.cat([self.label, other])
        weight = torch.cat([share, 1 - share])
        member = F.one_hot(label, len(self.centres)) * weight[:, None]
        count = member.sum(0)[:, None]
        change = (count * self.centres - member.T @ x) / (1 + count)
        self.centres -= CENTRE_RATE * change

    def step(self) -> None:
        """Mixup, log-mel, forward, backward, centres, Adam."""
        self.optimizer.zero_grad(set_to_none=True)
        wave, share, other = self._mixed()
        loss, embedding = self.loss(wave, share, other)
        loss.backward()
        self._move(embedding.detach(), share, other)
        self.optimizer.step()


def main() -> None:
    """Serves timed training steps."""
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--batch", type=int, required=True)
    flags.add_argument("--steps", type=int, required=True)
    flags.add_argument("--classes", type=int, required=True)
    flags.add_argument("--linear_branch", required=True)
    flags.add_argument("--tiny", action="store_true")
    args = flags.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    sizes = {"linear_branch": args.linear_branch}
    if args.tiny:
        sizes |= {"stem": 8, "channels": 8, "wide": 16, "embedding": 8}
    training = Training(args.batch, args.classes, device, **sizes)
    parameters = sum(p.numel() for p in training.network.parameters())
    about = {"parameters": parameters}
    serve_steps(training, steps=args.steps, device=device, about=about)


if __name__ == "__main__":
    main()
