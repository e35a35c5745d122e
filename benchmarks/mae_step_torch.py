"""Peer of `benchmarks.mae_step`: the same training step in PyTorch.

The same architecture, shapes and loss; scaled_dot_product_attention, torch.stft, fused
AdamW. On GPU compiled, in bfloat16 autocast.
"""

import argparse

import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.torch_peer import serve_steps

PATCH, WIDTH, DEPTH, HEADS, HIDDEN, TOKENS, MASKED = 900, 256, 12, 4, 680, 300, 180
HEAD_DIM = WIDTH // HEADS


def log_mean_magnitude(x: torch.Tensor, n_fft: int, eps: float = 1e-2) -> torch.Tensor:
    """Eq. 1 of the paper through torch.stft: `[rows, s]` to `[rows, f]`."""
    window = torch.hann_window(n_fft, device=x.device)
    spectrum = torch.stft(
        x,
        n_fft,
        n_fft // 2,
        window=window,
        center=True,
        pad_mode="constant",
        return_complex=True,
    )
    return spectrum.abs().mean(-1).clamp_min(eps).log()


def _rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    first, second = x.chunk(2, -1)
    turned = torch.cat([first * cos - second * sin, second * cos + first * sin], -1)
    return turned.to(x.dtype)


class Block(nn.Module):
    """Pre-norm block: rotary attention and SwiGLU, no biases."""

    def __init__(self):
        """Builds the layers."""
        super().__init__()
        self.attention_norm, self.mlp_norm = nn.RMSNorm(WIDTH), nn.RMSNorm(WIDTH)
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH, bias=False)
        self.out = nn.Linear(WIDTH, WIDTH, bias=False)
        self.gate_up = nn.Linear(WIDTH, 2 * HIDDEN, bias=False)
        self.down = nn.Linear(HIDDEN, WIDTH, bias=False)

    def forward(self, x, cos, sin):
        """`[b, n, d]` to `[b, n, d]`."""
        b, n, _ = x.shape
        qkv = self.qkv(self.attention_norm(x)).view(b, n, 3, HEADS, HEAD_DIM)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        q, k = _rotate(q, cos, sin), _rotate(k, cos, sin)
        mixed = F.scaled_dot_product_attention(q, k, v)
        x = x + self.out(mixed.transpose(1, 2).reshape(b, n, WIDTH))
        gate, up = self.gate_up(self.mlp_norm(x)).chunk(2, -1)
        return x + self.down(F.silu(gate) * up)


class Mae(nn.Module):
    """The paper's encoder with a linear head on the masked tokens."""

    def __init__(self):
        """Builds the layers and the rotary tables."""
        super().__init__()
        self.embed, self.head = nn.Linear(PATCH, WIDTH), nn.Linear(WIDTH, PATCH)
        self.mask_token = nn.Parameter(0.02 * torch.randn(WIDTH))
        self.blocks = nn.ModuleList(Block() for _ in range(DEPTH))
        self.norm = nn.RMSNorm(WIDTH)
        frequency = 10_000.0 ** (-torch.arange(0, HEAD_DIM, 2) / HEAD_DIM)
        angle = torch.arange(TOKENS)[:, None] * frequency
        self.register_buffer("cos", angle.cos())
        self.register_buffer("sin", angle.sin())

    def forward(self, patches, mask, index):
        """Reconstructs the masked patches: `[b, m, p]`."""
        x = self.embed(patches)
        x = torch.where(mask[..., None], self.mask_token.to(x.dtype), x)
        for block in self.blocks:
            x = block(x, self.cos, self.sin)
        x = self.norm(x)
        return self.head(x.gather(1, index[..., None].expand(-1, -1, WIDTH)))


class Training:
    """Model, optimizer and one batch on the device."""

    def __init__(self, batch: int, device: str):
        """Draws data and builds what a step needs."""
        self.device = device
        self.model = Mae().to(device)
        self.patches = torch.randn(batch, TOKENS, PATCH, device=device)
        order = torch.rand(batch, TOKENS, device=device).argsort(1)
        self.index = order[:, :MASKED].sort(1).values
        self.mask = torch.zeros(batch, TOKENS, dtype=torch.bool, device=device)
        self.mask.scatter_(1, self.index, True)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), 1e-4, fused=True)
        self.loss = torch.compile(self._loss) if device == "cuda" else self._loss

    def _loss(self):
        half = self.device == "cuda"
        with torch.autocast(self.device, torch.bfloat16, enabled=half):
            reconstruction = self.model(self.patches, self.mask, self.index)
        index = self.index[..., None].expand(-1, -1, PATCH)
        target = self.patches.gather(1, index).reshape(-1, 300)
        prediction = reconstruction.float().reshape(-1, 300)
        error = log_mean_magnitude(target, 32) - log_mean_magnitude(prediction, 32)
        return 3 * error.square().mean()

    def step(self) -> None:
        """Forward, backward, clip, AdamW."""
        self.optimizer.zero_grad(set_to_none=True)
        self.loss().backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()


def main() -> None:
    """Serves timed training steps."""
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--batch", type=int, required=True)
    flags.add_argument("--steps", type=int, required=True)
    args = flags.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    training = Training(args.batch, device)
    parameters = sum(p.numel() for p in training.model.parameters())
    about = {"parameters": parameters}
    serve_steps(training, steps=args.steps, device=device, about=about)


if __name__ == "__main__":
    main()
