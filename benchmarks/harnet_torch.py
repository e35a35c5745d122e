"""The public HARNet10 written in PyTorch, anew, from its published description.

Names of modules are those of its published weights. The reference of the parity tests
and a peer of `benchmarks.har_finetune`.
"""

import torch
from torch import nn
from torch.nn import functional as F

# Width, residual blocks, downsampling factor and order of each stage.
STAGES = (
    (64, 2, 2, 2),
    (128, 2, 2, 2),
    (256, 2, 5, 1),
    (512, 2, 5, 1),
    (1024, 0, 3, 1),
)


def _circular(before: int, width: int) -> nn.Conv1d:
    return nn.Conv1d(before, width, 5, padding=2, bias=False, padding_mode="circular")


class Residual(nn.Module):
    """Pre-activation block of two convolutions."""

    def __init__(self, width: int):
        """Builds the layers."""
        super().__init__()
        self.bn1, self.bn2 = nn.BatchNorm1d(width), nn.BatchNorm1d(width)
        self.conv1, self.conv2 = _circular(width, width), _circular(width, width)

    def forward(self, x):
        """`[b, c, s]` to `[b, c, s]`."""
        inner = self.conv1(self.bn1(x).relu())
        return x + self.conv2(self.bn2(inner).relu())


class Blur(nn.Module):
    """Fixed downsampling filter, each channel by itself."""

    kernel: torch.Tensor

    def __init__(self, width: int, factor: int, order: int):
        """Computes the kernel."""
        super().__init__()
        box = torch.ones(1, 1, factor, dtype=torch.float64)
        kernel = box
        for _ in range(order):
            kernel = F.conv1d(kernel, box, padding=factor - 1)
        kernel = (kernel / kernel.sum()).float()
        self.register_buffer("kernel", kernel.repeat(width, 1, 1))
        self.factor, self.pad = factor, order * (factor - 1) // 2

    def forward(self, x):
        """`[b, c, s]` to `[b, c, n]`."""
        groups = self.kernel.shape[0]
        return F.conv1d(x, self.kernel, None, self.factor, self.pad, groups=groups)


class Network(nn.Module):
    """The backbone, and linear heads of two outputs by name."""

    def __init__(self, *heads: str):
        """Builds the layers."""
        super().__init__()
        self.feature_extractor, before = nn.Sequential(), 3
        for i, (width, blocks, factor, order) in enumerate(STAGES, 1):
            stage = nn.Sequential(
                _circular(before, width),
                *(Residual(width) for _ in range(blocks)),
                nn.BatchNorm1d(width),
                nn.ReLU(),
                Blur(width, factor, order),
            )
            self.feature_extractor.add_module(f"layer{i}", stage)
            before = width
        for head in heads:
            self.add_module(head, nn.Linear(before, 2))

    def forward(self, x):
        """`[b, 3, 300]` in g to features `[b, 1024]`."""
        return self.feature_extractor(x)[..., 0]
