"""Trains tiny-digits, a diffusion model of handwritten digits, and writes its weights. Knows no test.

    python -m venv .digits && .digits/bin/pip install torch scikit-learn
    .digits/bin/python tests/tiny_digits/train.py        # two minutes on one core

What comes out, ``weights.npz``, is read by ``model.py``, which needs numpy only. ``samples.npz`` holds some of the
digits themselves (scikit-learn's copy of the Optical Recognition of Handwritten Digits set, CC BY 4.0, by E. Alpaydin
and C. Kaynak): what a generated picture is compared with, to read it back.
"""

import math
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn

HERE = Path(__file__).parent
WIDTH, BLOCKS, TIMES, CONDITION = 192, 3, 16, 64
NOBODY = 10
"""The class that stands for "no digit in particular": what guidance pushes away from."""
ROUNDS, BATCH = 14_000, 256
SAMPLES_PER_DIGIT = 60


class Denoiser(nn.Module):
    """From a noisy picture, its noise level and a digit to the clean picture. ``model.py`` does the same in numpy."""

    def __init__(self) -> None:
        super().__init__()
        self.condition = nn.Linear(2 * TIMES + NOBODY + 1, CONDITION)
        self.enter = nn.Linear(64 + CONDITION, WIDTH)
        self.inner = nn.ModuleList(nn.Linear(WIDTH + CONDITION, WIDTH) for _ in range(BLOCKS))
        self.outer = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(BLOCKS))
        self.leave = nn.Linear(WIDTH, 64)

    def forward(self, noisy: torch.Tensor, level: torch.Tensor, digit: torch.Tensor) -> torch.Tensor:
        angles = level[:, None] * math.pi * torch.arange(1, TIMES + 1)
        told = [angles.sin(), angles.cos(), nn.functional.one_hot(digit, NOBODY + 1).float()]
        condition = nn.functional.silu(self.condition(torch.cat(told, 1)))
        state = self.enter(torch.cat([noisy, condition], 1))
        for inner, outer in zip(self.inner, self.outer, strict=True):
            state = state + outer(nn.functional.silu(inner(torch.cat([state, condition], 1))))
        return self.leave(nn.functional.silu(state))


def main() -> None:
    torch.manual_seed(7)
    torch.set_num_threads(1)
    found = load_digits()
    pictures = torch.tensor(found.images.reshape(-1, 64) / 8.0 - 1.0, dtype=torch.float32)
    digits = torch.tensor(found.target)
    model = Denoiser()
    average = torch.optim.swa_utils.AveragedModel(model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.999))
    steps = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=1e-4)
    slower = torch.optim.lr_scheduler.CosineAnnealingLR(steps, ROUNDS)
    for round_ in range(ROUNDS):
        chosen = torch.randint(len(pictures), (BATCH,))
        clean, digit = pictures[chosen], digits[chosen].clone()
        digit[torch.rand(BATCH) < 0.1] = NOBODY
        level = torch.rand(BATCH)
        signal, noise = (level * math.pi / 2).cos()[:, None], (level * math.pi / 2).sin()[:, None]
        guess = model(signal * clean + noise * torch.randn_like(clean), level, digit)
        loss = ((guess - clean) ** 2).mean(1).mul((signal / noise.clamp(0.2)).squeeze(1).clamp(1)).mean()
        steps.zero_grad()
        loss.backward()
        steps.step()
        slower.step()
        average.update_parameters(model)
        if round_ % 1000 == 0:
            print(round_, f"{loss.item():.4f}", flush=True)
    kept = average.module.state_dict()
    np.savez_compressed(
        HERE / "weights.npz", **{name: value.numpy().astype(np.float16) for name, value in kept.items()}
    )
    some = np.concatenate([np.flatnonzero(found.target == digit)[:SAMPLES_PER_DIGIT] for digit in range(10)])
    np.savez_compressed(
        HERE / "samples.npz",
        pictures=found.images[some].reshape(-1, 64).astype(np.uint8),
        digits=found.target[some].astype(np.uint8),
    )


if __name__ == "__main__":
    main()
