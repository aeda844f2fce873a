"""Algorithm 1 in a whole training: plain updates on whole batches first, then Algorithm 1 on every n-th batch.

Not in the paper, which runs Algorithm 1 on every batch from the first. Inside nnU-Net that trains a network that has
never seen a whole image, at four times the price, and one that has not found its classes may lose them for good.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

from torch import Tensor

from nnunetv2_dale.dale.alternating_step import AlternatingStep
from nnunetv2_dale.dale.config import DaleConfig
from nnunetv2_dale.dale.learned_classes import LearnedClasses, class_sums
from nnunetv2_dale.dale.masked_loss import Outputs
from nnunetv2_dale.dale.step_record import StepRecord, WholeBatch, spread_of


class Phases:
    """Which batches of a training are iterations of Algorithm 1.

    Between `phase_in` and `phase_out` it takes every n-th batch. It waits until every class that was shown is learned;
    half-way a class that was never learned is not waited for, if another than background is. It pauses when a class
    that was learned falls below half of what that takes; whole batches show that, of which `every` 1 leaves none.

    Args:
        config: its fields `phase_in`, `phase_out`, `every` and `learned`.
        batches: of the whole training.
        background: whether class 0 is background (label maps) or not (regions).
    Raises:
        ValueError: no batch is left for Algorithm 1.
    """

    def __init__(self, config: DaleConfig, batches: int, background: bool = True) -> None:
        self.first = math.ceil(round(config.phase_in * batches, 6))  # 0.07 · 100 is 7.000000000000001
        self.end = batches - math.ceil(round(config.phase_out * batches, 6))
        if self.first >= self.end:
            raise ValueError(
                f'"phase_in" {config.phase_in:g} and "phase_out" {config.phase_out:g} leave none of the {batches} '
                "batches of this training for Algorithm 1; lower one or train longer"
            )
        self._every, self._background = config.every, background
        self.classes = LearnedClasses(config.learned)
        self.ever_learned: set[int] = set()
        self.running = config.learned == 0
        self.news: list[str] = []  # sentences for the log

    @property
    def watches(self) -> bool:
        """Whether the classes decide; without that nothing is read from the device."""
        return self.classes.threshold > 0

    def takes(self, batch: int) -> bool:
        """Say whether Algorithm 1 takes this batch, counted from 0; to be asked of every batch in its turn."""
        if not self.first <= batch < self.end:
            return False
        if self.watches and self.classes.probabilities:
            self._look(batch)
        return self.running and (batch - self.first) % self._every == 0

    def restore(
        self, running: bool, probabilities: Sequence[float], voxels: Sequence[float], ever_learned: Iterable[int]
    ) -> None:
        """Go on from an earlier state. Where it was waiting for classes and these settings do not, it runs."""
        self.running, self.ever_learned = running or not self.watches, set(ever_learned)
        self.classes.restore(probabilities, voxels)

    def _look(self, batch: int) -> None:
        threshold = self.classes.threshold
        missing, lost = self.classes.below(threshold), self.ever_learned.intersection(self.classes.below(threshold / 2))
        self.ever_learned |= set(self.classes.at_least(threshold))
        if self.running and lost:
            self.running = False
            self.news.append(f"batch {batch}: whole batches only, for the network has lost {self._named(lost)}")
        elif not self.running and not self.ever_learned.intersection(missing):
            late = 2 * batch >= self.first + self.end and bool(self.ever_learned - ({0} if self._background else set()))
            if late or not missing:
                self.running = True
                without = f"without waiting for {self._named(missing)}" if missing else "every class is learned"
                self.news.append(f"batch {batch}: Algorithm 1 from here on, {without}")

    def waiting_for(self) -> str | None:
        """Return the classes that hold Algorithm 1 back, for the log; None where none does."""
        missing = [] if self.running else self.classes.below(self.classes.threshold)
        return self._named(missing) if missing else None

    def _named(self, classes: Iterable[int]) -> str:
        found, kind = self.classes.probabilities, "class" if self._background else "region"
        return ", ".join(f"{kind} {index} (probability {found[index]:.2f} in its own voxels)" for index in classes)


class PhasedStep:
    """One training iteration, of Algorithm 1 or a plain update on the whole batch.

    Args:
        algorithm: Algorithm 1; its network, optimizer, loss and trust serve the plain updates too.
        batches: of the whole training.
    """

    def __init__(self, algorithm: AlternatingStep, batches: int) -> None:
        self.algorithm = algorithm
        self.phases = Phases(algorithm.config, batches, background=not algorithm.loss.regions)
        self.batch = 0  # the number of the next batch
        self._seen: Tensor | None = None  # class sums of the last whole batch, still on the device

    def __call__(self, images: Tensor, targets: Outputs, cases: Sequence[str] | None = None) -> StepRecord:
        """See `AlternatingStep`."""
        self.catch_up()
        step: Callable[..., StepRecord] = self.algorithm if self.phases.takes(self.batch) else self.whole_batch
        self.batch += 1
        return step(images, targets, cases)

    def catch_up(self) -> None:
        """Let the phases know what the last batch has shown."""
        if self._seen is not None:
            self.phases.classes.observe(self._seen.tolist())
            self._seen = None

    def whole_batch(self, images: Tensor, targets: Outputs, cases: Sequence[str] | None) -> WholeBatch:
        """Make a plain update: whole images, L with the trust of each case as weight."""
        algorithm = self.algorithm
        outputs, _ = algorithm.see(images)
        judge = algorithm.label_trust
        trust = None if judge is None else judge.observe_and_weigh(images, outputs, targets, cases)
        if self.phases.watches:
            self._seen = class_sums(outputs, targets, algorithm.loss)
        loss = algorithm.loss(outputs, targets, None, trust)
        algorithm.step(loss)
        mean, std = (None, None) if trust is None else spread_of(trust)
        return WholeBatch(loss.detach(), mean, std)
