"""One training iteration of SVL-DRL, for any network made of an encoder with skips and a decoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import torch
from torch import Tensor

from nnunetv2_dale.dale.masked_loss import MaskedLoss, Outputs, full_resolution
from nnunetv2_dale.svl_drl.actor_critic import discounted_returns, policy_loss, value_loss
from nnunetv2_dale.svl_drl.config import SvlDrlConfig
from nnunetv2_dale.svl_drl.decoders import ActorCritic
from nnunetv2_dale.svl_drl.intensity_actions import Action, apply_actions, intensity_range, sample_actions
from nnunetv2_dale.svl_drl.reward import Reference, continuity_cost, soft_dice, squared_error
from nnunetv2_dale.svl_drl.stages import Stage, loss_weights


@dataclass(frozen=True)
class StepRecord:
    """What happened in one iteration; scalars on the device. In the warm-up all but two are not a number."""

    stage: Tensor  # a number of `Stage`
    loss: Tensor  # L_seg, mean over the states s_0 … s_{T−1}
    reward: Tensor  # mean r_t
    reward_gain: Tensor  # of it, the gain in Dice (or the fall of the squared error)
    reward_continuity: Tensor  # of it, −w C; 0 for the reward of voxels
    value_loss: Tensor
    policy_entropy: Tensor  # nats, at most log 3
    keep_share: Tensor  # part of the actions taken
    enhance_share: Tensor
    weaken_share: Tensor


@dataclass(frozen=True)
class Episode:
    """T edits of a batch under the policy of now, without gradient."""

    states: list[Tensor]  # s_0 … s_{T−1}, (B, C, *S) each
    actions: list[Tensor]  # (B, 1, *S) each
    returns: list[Tensor]  # R_0 … R_{T−1}, (B, 1, *S) each
    gains: list[Tensor]  # first part of r_t, (B, 1, …) each
    costs: list[Tensor]  # second part, likewise


@dataclass
class SvlDrlStep:
    """Adds the gradients of one batch to the weights; the caller clears them before and steps after.

    An episode is played without gradient first, then each of its states is seen once more, with its losses: so only one
    state's activations are kept at a time.

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
            return self._record(loss.detach())
        reference = self._reference(full_resolution(targets))
        episode = self._played(images, reference)
        return self._learned(episode, targets, reference.valid)

    @torch.no_grad()
    def _played(self, images: Tensor, reference: Reference) -> Episode:
        """States, actions and returns of T steps."""
        scale = intensity_range(images)
        states, actions, parts, before = [images], [], [], None
        for step in range(self.config.steps + 1):
            with self.autocast():
                skips, outputs = self.network(states[step])
            after = self._foreground(outputs)
            if before is not None:
                parts.append(self._reward(before, after, reference))
            before = after
            if step < self.config.steps:
                with self.autocast():
                    logits = self.actor_critic.policy(skips)
                taken = sample_actions(logits, self.generator)
                amount = self.config.action_strength * self._uniform(taken.shape, images.device)
                actions.append(taken)
                states.append(apply_actions(states[step], taken, amount, scale, self.image_channels))
        with self.autocast():
            last_value = self.actor_critic.value(skips).float()
        gains, costs = ([part[which] for part in parts] for which in (0, 1))
        rewards = [gain + cost for gain, cost in parts]
        returns = discounted_returns(rewards, last_value, self.config.discount)
        return Episode(states[:-1], actions, returns, gains, costs)

    def _learned(self, episode: Episode, targets: Outputs, valid: Tensor | None) -> StepRecord:
        """The losses of every state that was acted on, each with its own backward."""
        weights = loss_weights(self.stage, self.config)
        steps = self.config.steps
        sums: list[Tensor] = []
        for state, actions, returns in zip(episode.states, episode.actions, episode.returns, strict=True):
            skips, segmentation = self._seen(state, targets)
            with self.autocast():
                values, logits = self.actor_critic.value(skips), self.actor_critic.policy(skips)
            of_value = value_loss(values, returns, valid)
            advantage = returns - values.detach().float()
            of_policy, entropy = policy_loss(logits, actions, advantage, self.config.entropy_weight, valid)
            loss = weights.segmentation * segmentation + weights.value * of_value
            if weights.policy > 0:
                loss = loss + weights.policy * of_policy
            self.backward(loss / steps)
            sums.append(torch.stack([each.detach() for each in (segmentation, of_value, entropy)]))
        segmentation, of_value, entropy = torch.stack(sums).mean(dim=0)
        return self._record(segmentation, of_value, entropy, episode)

    def _seen(self, images: Tensor, targets: Outputs) -> tuple[Sequence[Tensor], Tensor]:
        """The skips of a state, and L_seg."""
        with self.autocast():
            skips, outputs = self.network(images)
            return skips, self.segmentation_loss(outputs, targets)

    def _foreground(self, outputs: Outputs) -> Tensor:
        """(B, K, *S) probabilities of the foreground classes, or of the regions."""
        logits = full_resolution(outputs).float()
        return logits.sigmoid() if self.labels.regions else logits.softmax(dim=1)[:, 1:]

    def _reference(self, target: Tensor) -> Reference:
        labels, valid = self.labels.labels(target), self.labels.valid(target)
        if self.labels.regions:
            return Reference.of(labels > 0.5, valid)
        foreground = torch.arange(1, self.classes, device=target.device).view(1, -1, *(1,) * (target.ndim - 2))
        return Reference.of(labels == foreground, valid)

    def _reward(self, before: Tensor, after: Tensor, reference: Reference) -> tuple[Tensor, Tensor]:
        """The two parts of r_t, each broadcastable to (B, 1, *S): what was gained, and −w C."""
        if self.config.reward == "voxel":
            gain = squared_error(before, reference) - squared_error(after, reference)
            return gain, torch.zeros_like(gain)
        gain = soft_dice(after, reference) - soft_dice(before, reference)
        cost = -self.config.continuity_weight * continuity_cost(after, self._hard(after), reference)
        shape = (-1,) + (1,) * (after.ndim - 1)
        return gain.view(shape), cost.view(shape)

    def _hard(self, probabilities: Tensor) -> Tensor:
        """(B, K, *S) bool: the predicted regions, or the foreground class where one is the most likely of all."""
        if self.labels.regions:
            return probabilities > 0.5
        background = 1 - probabilities.sum(dim=1, keepdim=True)
        highest = probabilities.amax(dim=1, keepdim=True)
        return (probabilities == highest) & (highest > background)

    def _uniform(self, shape: torch.Size, device: torch.device) -> Tensor:
        return torch.rand(shape, generator=self.generator, device=device)

    def _record(
        self,
        segmentation: Tensor,
        of_value: Tensor | None = None,
        entropy: Tensor | None = None,
        episode: Episode | None = None,
    ) -> StepRecord:
        """The numbers of one iteration, for the log."""
        unknown = torch.full_like(segmentation, float("nan"))
        if of_value is None or entropy is None or episode is None:
            gain = cost = of_value = entropy = unknown
            shares = [unknown] * len(Action)
        else:
            gain, cost = (torch.stack([each.mean() for each in part]).mean() for part in (episode.gains, episode.costs))
            taken = torch.stack(episode.actions)
            shares = [(taken == action).float().mean() for action in Action]
        stage = torch.full_like(segmentation, float(self.stage))
        return StepRecord(stage, segmentation, gain + cost, gain, cost, of_value, entropy, *shares)
