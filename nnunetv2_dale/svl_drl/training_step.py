"""One training iteration of SVL-DRL, for any network made of an encoder with skips and a decoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import torch
from torch import Tensor

from nnunetv2_dale.dale.marginal_loss import class_weight_of, like, marginal_logits
from nnunetv2_dale.dale.masked_loss import MaskedLoss, Outputs, full_resolution
from nnunetv2_dale.svl_drl.actor_critic import (
    bounded_rewards,
    discounted_returns,
    policy_loss,
    scaled_advantage,
    value_loss,
)
from nnunetv2_dale.svl_drl.config import SvlDrlConfig
from nnunetv2_dale.svl_drl.decoders import ActorCritic
from nnunetv2_dale.svl_drl.intensity_actions import Action, apply_actions, intensity_range, sample_actions
from nnunetv2_dale.svl_drl.reward import Reference, edit_shares, edit_slopes, reward_of, total_variation
from nnunetv2_dale.svl_drl.stages import Stage, loss_weights
from nnunetv2_dale.svl_drl.step_record import Episode, StepRecord


@dataclass(frozen=True)
class Found:
    """What the network finds in a state: (B, C, *S) images, (B, K, *S) foreground, and `edit_slopes` or None."""

    images: Tensor
    foreground: Tensor
    slopes: Tensor | None


@dataclass
class SvlDrlStep:
    """Adds the gradients of one batch to the weights; the caller clears them before and steps after.

    An episode is played without gradient of the weights first, then each of its states is seen once more, with its
    losses: so only one state's activations are kept at a time.

    Args:
        network: images to the encoder's skips, full resolution first, and to logits, or a sequence of them under deep
            supervision.
        actor_critic: the value and the policy decoder.
        segmentation_loss: L_seg of outputs and targets.
        labels: reads the targets; its loss is not used.
        classes: of the label map, with background, or the regions.
        config: the settings.
        backward: adds a loss's gradient.
        image_channels: leading channels of the input that are image; None is all.
        autocast: makes the context of the forward passes.
        generator: of the actions, on the network's device.
    """

    network: Callable[[Tensor], tuple[Sequence[Tensor], Outputs]]
    actor_critic: ActorCritic
    segmentation_loss: Callable[[Outputs, Outputs], Tensor]
    labels: MaskedLoss
    classes: int
    config: SvlDrlConfig
    backward: Callable[[Tensor], None] = torch.Tensor.backward
    image_channels: int | None = None
    autocast: Callable[[], AbstractContextManager[object]] = nullcontext
    generator: torch.Generator | None = None
    stage: Stage = field(default=Stage.WARM_UP, init=False)

    def __call__(self, images: Tensor, targets: Outputs) -> StepRecord:
        """Accumulate the gradients of (1 − α − β) L_seg + α L_value + β L_policy, with the weights of the stage.

        Args:
            images: (B, C, *S), finite.
            targets: the target of each output, full resolution first.
        """
        if self.stage is Stage.WARM_UP:
            _, loss = self._seen(images, targets)
            self.backward(loss)
            return StepRecord.of(self.stage, loss.detach())
        reference = self._reference(full_resolution(targets))
        episode = self._played(images, reference, class_weight_of(targets))
        return self._learned(episode, targets, reference.valid)

    @torch.no_grad()
    def _played(self, images: Tensor, reference: Reference, class_weight: Tensor | None) -> Episode:
        """States, actions and returns of T steps."""
        scale = intensity_range(images)
        states, actions, parts, before = [images], [], [], None
        for step in range(self.config.steps + 1):
            skips, after = self._found(states[step], reference, class_weight)
            if before is not None:
                parts.append(self._reward(before, after, reference))
            before = after
            if step < self.config.steps:
                taken = sample_actions(self._policy(skips), self.generator)
                amount = self.config.action_strength * self._uniform(taken.shape, images.device)
                actions.append(taken)
                states.append(apply_actions(states[step], taken, amount, scale, self.image_channels))
        with self.autocast():
            last_value = self.actor_critic.value(skips).float()
        gains, costs = ([part[which] for part in parts] for which in (0, 1))
        rewards = bounded_rewards([gain + cost for gain, cost in parts], reference.valid)
        returns = discounted_returns(rewards, last_value, self.config.discount)
        return Episode(states[:-1], actions, returns, gains, costs)

    def _found(
        self, images: Tensor, reference: Reference, class_weight: Tensor | None
    ) -> tuple[Sequence[Tensor], Found]:
        """The skips of a state, and what the reward needs of it: a slope costs a backward to the image."""
        with_slopes = self.config.reward == "edit"
        # N over the voxels of a small object is more than half precision holds
        precision: AbstractContextManager[object] = nullcontext() if with_slopes else self.autocast()
        with torch.set_grad_enabled(with_slopes):
            images = images.detach().requires_grad_(with_slopes)
            with precision:
                skips, outputs = self.network(images)
            foreground = self._foreground(outputs, class_weight)
            weight = self.config.continuity_weight
            slopes = edit_slopes(foreground, images, reference, weight) if with_slopes else None
        return [skip.detach() for skip in skips], Found(images.detach(), foreground.detach(), slopes)

    def _reward(self, before: Found, after: Found, reference: Reference) -> tuple[Tensor, Tensor]:
        """The two parts of r_t, as `reward_of` returns them."""
        weight = self.config.continuity_weight
        if before.slopes is None or after.slopes is None:
            return reward_of(before.foreground, after.foreground, reference, self.config.reward, weight)
        shares = edit_shares(before.images, after.images, (before.slopes, after.slopes))
        cost = -weight * (total_variation(after.foreground) - total_variation(before.foreground))
        cost = like(cost, shares)  # of the volume, for the log: the shares hold it
        return shares - cost, cost

    def _learned(self, episode: Episode, targets: Outputs, valid: Tensor | None) -> StepRecord:
        """The losses of every state that was acted on, each with its own backward."""
        weights, steps = loss_weights(self.stage, self.config), self.config.steps
        counted = [1.0, *[self.config.edited_weight] * (steps - 1)]  # of L_seg in each state
        sums: list[Tensor] = []
        for step, (state, actions, returns) in enumerate(
            zip(episode.states, episode.actions, episode.returns, strict=True)
        ):
            skips, segmentation = self._seen(state, targets if counted[step] > 0 else None)
            with self.autocast():
                values = self.actor_critic.value(skips)
            logits = self._policy(skips)
            of_value = value_loss(values, returns, valid)
            advantage = scaled_advantage(returns - values.detach().float(), valid)
            of_policy, entropy = policy_loss(logits, actions, advantage, self.config.entropy_weight, valid)
            segmentation = segmentation * (counted[step] / sum(counted))
            loss = weights.segmentation * segmentation + weights.value * of_value / steps
            if weights.policy > 0:
                loss = loss + weights.policy * of_policy / steps
            self.backward(loss)
            sums.append(torch.stack([each.detach() for each in (segmentation, of_value / steps, entropy / steps)]))
        segmentation, of_value, entropy = torch.stack(sums).sum(dim=0)
        return StepRecord.of(self.stage, segmentation, of_value, entropy, episode)

    def _policy(self, skips: Sequence[Tensor]) -> Tensor:
        """Logits of π, (B, 3, *S)."""
        if self.config.actions == "uniform":
            return skips[0].new_zeros(skips[0].shape[0], len(Action), *skips[0].shape[2:])
        with self.autocast():
            logits: Tensor = self.actor_critic.policy(skips)
            return logits

    def _seen(self, images: Tensor, targets: Outputs | None) -> tuple[Sequence[Tensor], Tensor]:
        """The skips of a state, and L_seg; 0 without targets."""
        with self.autocast():
            skips, outputs = self.network(images)
            nothing = torch.zeros((), device=images.device)
            return skips, nothing if targets is None else self.segmentation_loss(outputs, targets)

    def _foreground(self, outputs: Outputs, class_weight: Tensor | None) -> Tensor:
        """(B, K, *S) probabilities of the foreground classes, or of the regions; 0 where one is not annotated."""
        logits = marginal_logits(full_resolution(outputs).float(), class_weight, self.labels.regions)
        return logits.sigmoid() if self.labels.regions else logits.softmax(dim=1)[:, 1:]

    def _reference(self, target: Tensor) -> Reference:
        labels, valid = self.labels.labels(target), self.labels.valid(target)
        if self.labels.regions:
            return Reference.of(labels > 0.5, valid, regions=True)
        foreground = torch.arange(1, self.classes, device=target.device).view(1, -1, *(1,) * (target.ndim - 2))
        return Reference.of(labels == foreground, valid)

    def _uniform(self, shape: torch.Size, device: torch.device) -> Tensor:
        return torch.rand(shape, generator=self.generator, device=device)
