"""An iteration of Algorithm 1 written out plainly: explicit deep copy, double backward, eager masks."""

from __future__ import annotations

import copy
import itertools

import numpy as np
import ot
import torch
from torch import Tensor, nn

from nnunetv2_dale.dale.config import DaleConfig

TAU, ALPHA = 0.6, 0.05
LR = 0.02


def sgd(network: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(network.parameters(), lr=LR, momentum=0.9, nesterov=True, weight_decay=3e-5)


def clip_and_step(network: nn.Module, optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    loss.backward()
    torch.nn.utils.clip_grad_norm_(network.parameters(), 12)
    optimizer.step()


def plain_fuzziness(images: Tensor, labels: Tensor) -> Tensor:
    """m by NumPy, a patch of 8 × 8 at a time."""
    result = np.zeros(labels.shape)
    for sample, (image, label) in enumerate(zip(images[:, 0].numpy(), labels[:, 0].numpy(), strict=True)):
        padded = np.pad(label, 1, mode="edge")
        shifted = [padded[i : i + 32, j : j + 32] for i in range(3) for j in range(3)]
        edge = np.max(shifted, axis=0) != np.min(shifted, axis=0)
        r, e = np.zeros((4, 4)), np.zeros((4, 4))
        for i, j in itertools.product(range(4), range(4)):
            box = np.s_[8 * i : 8 * i + 8, 8 * j : 8 * j + 8]
            share = np.histogram(image[box], bins=32, range=(image.min(), image.max()))[0] / 64
            r[i, j] = -sum(p * np.log(p) for p in share if p > 0)
            e[i, j] = edge[box].mean()
        m = np.maximum(*((x - x.min()) / (x.max() - x.min()) for x in (r, e)))
        result[sample, 0] = np.kron(m, np.ones((8, 8)))
    return torch.tensor(result)


def soft_loss(logits: Tensor, labels: Tensor, mask: Tensor, weight: Tensor) -> Tensor:
    """Cross-entropy and per-sample Dice of an explicit soft one-hot label."""
    hard = torch.stack([labels[:, 0] == k for k in range(3)], dim=1).to(logits.dtype)
    soft = torch.cat([hard[:, :1] + (1 - mask) * hard[:, 1:].sum(1, keepdim=True), hard[:, 1:] * mask], dim=1)
    p = logits.softmax(1)
    ce = (-(soft * p.log()).sum(1, keepdim=True) * weight).mean()
    inter, pred, ref = ((x * weight).sum((2, 3))[:, 1:] for x in (p * soft, p, soft))
    return ce - ((2 * inter + 1e-5) / (pred + ref + 1e-5)).mean()


class PlainIteration:
    """Algorithm 1 for 2D label maps with deep supervision, with nothing shared with the library but the settings.

    Args:
        trust: (B, 1, H, W), what multiplies ω in both updates, and the non-fuzzy loss at θ_p.
        seed: of the draws of Eq. 13.
        given: (B, 1, H, W), c: where ω starts; it multiplies the non-fuzzy loss everywhere.
    """

    def __init__(
        self,
        network: nn.Module,
        config: DaleConfig,
        trust: Tensor | None = None,
        seed: int = 0,
        given: Tensor | None = None,
    ) -> None:
        self.network, self.optimizer, self.config, self.trust = network, sgd(network), config, trust
        self.given = given
        self.generator = torch.Generator().manual_seed(seed)
        self.v: list[Tensor] | None = None  # the average of the non-fuzzy gradients
        self.remembered: dict[int, tuple[float, Tensor, Tensor]] = {}  # class to weight, mean, covariance

    def loss(self, outputs, targets, mask, omega):
        total = 0
        for weight, z, y in zip((2 / 3, 1 / 3), outputs, targets, strict=True):
            factor = mask.shape[-1] // z.shape[-1]
            m, w = (torch.nn.functional.avg_pool2d(x, factor) for x in (mask, omega))
            ones = torch.ones_like(m)
            if self.config.view == "masked_input":
                total = total + weight * soft_loss(z, y, m, w)
            else:
                product = torch.nn.functional.avg_pool2d(mask * omega, factor)
                total = total + weight * soft_loss(z, y, ones, product)
        return total

    def features(self, network, images):
        kept = []
        handle = network.decoder.seg_layers[-1].register_forward_pre_hook(lambda _, inputs: kept.append(inputs[0]))
        outputs = network(images)
        handle.remove()
        return outputs, kept[0]

    def __call__(self, images: Tensor, targets: list[Tensor]) -> None:
        m = plain_fuzziness(images, targets[0])
        fuzzy, clear = torch.where(m > TAU, 1.0, m), torch.where(m < TAU, 1.0, TAU - m)
        ones = torch.ones_like(m)
        trust = ones if self.trust is None else self.trust
        given = ones if self.given is None else self.given
        masked = self.config.view == "masked_input"
        dark = images.flatten(2).min(dim=2).values[..., None, None] if self.config.masked_value == "darkest" else 0.0
        fuzzy_images, clear_images = (images * m + dark * (1 - m) if masked else images for m in (fuzzy, clear))
        clear = clear.clamp(min=0)

        outputs, features_clear = self.features(self.network, clear_images)
        self.optimizer.zero_grad()
        clip_and_step(self.network, self.optimizer, self.loss(outputs, targets, clear, trust * given))
        line5 = {n: torch.zeros_like(p) if p.grad is None else p.grad for n, p in self.network.named_parameters()}

        omega = given
        for _ in range(self.config.confidence_steps):
            gradient = self.meta_gradient(omega, targets, (fuzzy_images, fuzzy), (clear_images, clear), line5)
            rms = gradient.square().mean((1, 2, 3), keepdim=True).sqrt()
            omega = (omega - 0.1 * (gradient / rms).clamp(-1, 1)).clamp(min=0)
        omega = omega * trust

        outputs, features_fuzzy = self.features(self.network, fuzzy_images)
        alignment = self.alignment(features_clear.detach(), features_fuzzy, targets[0], m, omega)
        self.optimizer.zero_grad()
        loss = self.loss(outputs, targets, fuzzy, omega)
        pulls, trains = (torch.autograd.grad(each, features_fuzzy, retain_graph=True)[0] for each in (alignment, loss))
        ratio = float(pulls.norm() / trains.norm())
        alpha = min(ALPHA, self.config.alignment_bound / ratio)
        self.bounded = alpha < ALPHA
        clip_and_step(self.network, self.optimizer, loss + alpha * omega.mean() * alignment)

    def meta_gradient(self, omega, targets, fuzzy, clear, line5):
        """∂L_n/∂ω: through the unrolled pseudo-step, or −η ∂/∂ω ⟨∂L_f/∂θ, v⟩ where v is taken from elsewhere."""
        shadow, (fuzzy_images, fuzzy), (clear_images, clear) = copy.deepcopy(self.network), fuzzy, clear
        names, weights = zip(*shadow.named_parameters(), strict=True)
        w = omega.clone().requires_grad_()
        pseudo = torch.autograd.grad(
            self.loss(shadow(fuzzy_images), targets, fuzzy, w),
            weights,
            create_graph=True,
            allow_unused=True,
            materialize_grads=True,
        )
        trust = torch.ones_like(omega) if self.trust is None else self.trust
        if self.config.confidence_gradient == "look_ahead":
            moved = {n: p - LR * g for n, p, g in zip(names, weights, pseudo, strict=True)}
            if self.config.confidence_memory > 0:
                moved = {n: p.detach().requires_grad_() for n, p in moved.items()}
            outputs = torch.func.functional_call(shadow, moved, (clear_images,), tie_weights=False)
            given = torch.ones_like(omega) if self.given is None else self.given
            loss = self.loss(outputs, targets, clear, trust * given)
            if self.config.confidence_memory == 0:
                return torch.autograd.grad(loss, w)[0]
            v = torch.autograd.grad(loss, list(moved.values()), allow_unused=True, materialize_grads=True)
        else:
            v = [line5[name] for name in names]
            if self.config.confidence_gradient == "head":
                of_head = [id(p) for p in shadow.decoder.seg_layers[-1].parameters()]
                v = [g if id(p) in of_head else torch.zeros_like(g) for g, p in zip(v, weights, strict=True)]
        memory = self.config.confidence_memory
        before = [torch.zeros_like(each) for each in v] if self.v is None else self.v
        self.v = [memory * old + (1 - memory) * new for old, new in zip(before, v, strict=True)]
        product = sum((g * each).sum() for g, each in zip(pseudo, self.v, strict=True))
        return torch.autograd.grad(-LR * product, w)[0]

    def alignment(self, clear: Tensor, fuzzy: Tensor, labels: Tensor, m: Tensor, omega: Tensor) -> Tensor:
        """The Bures distances through matrix roots by SciPy's definition: POT's closed form on the same Gaussians."""
        for _ in range(2):  # the library's draws of voxels, one per side, come first
            torch.randint(2**32, (m.numel(),), generator=self.generator)
        epsilon = self.config.covariance_noise * torch.rand(3, generator=self.generator, dtype=clear.dtype)
        total = torch.zeros((), dtype=clear.dtype)
        for label in range(3):
            sides = []
            for features, chosen in ((clear, m < TAU), (fuzzy, (m >= TAU) & (omega >= 1))):
                sides.append(features.movedim(1, -1)[((labels == label) & chosen)[:, 0]])
            voxels, m_n, s_n = self.with_memory(label, sides[0])
            if min(voxels, len(sides[1])) < 4:
                continue
            m_f, s_f = sides[1].mean(0), sides[1].T.cov()
            variance = s_n.trace()
            s_n = s_n + epsilon[label] * variance / len(s_n)  # every entry: a matrix of ones, on this side alone
            ridges = [
                (1e-4 * s.diagonal().mean().detach() + torch.finfo(s.dtype).eps) * torch.eye(len(s), dtype=s.dtype)
                for s in (s_n, s_f)
            ]
            distance = ot.gaussian.bures_wasserstein_distance(m_n, m_f, s_n + ridges[0], s_f + ridges[1]) ** 2
            total = total + (distance / variance if self.config.alignment_scale == "relative" else distance)
        return total

    def with_memory(self, label: int, inside: Tensor) -> tuple[float, Tensor, Tensor]:
        """Weight, mean and covariance of the class over this batch and, fading, those before."""
        parts = [(len(inside), inside.mean(0), inside.T.cov())] if len(inside) > 1 else []
        if label in self.remembered and self.config.alignment_memory > 0:
            count, mean, covariance = self.remembered[label]
            parts.append((self.config.alignment_memory * count, mean, covariance))
        total = sum(count for count, _, _ in parts)
        if total == 0:
            return 0, *(torch.zeros(()),) * 2
        mean = sum(count * each for count, each, _ in parts) / total
        scatter = sum((n - 1) * s + n * torch.outer(each - mean, each - mean) for n, each, s in parts)
        self.remembered[label] = (total, mean, scatter / (total - 1))
        return self.remembered[label]
