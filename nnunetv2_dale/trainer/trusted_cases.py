"""What trainers share that doubt differently drawn cases: the memory of the cases, and what the log says of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nnunetv2_dale.case_trust.case_trust import CaseTrust
from nnunetv2_dale.case_trust.config import CaseTrustConfig
from nnunetv2_dale.dale.masked_loss import MaskedLoss
from nnunetv2_dale.trainer.case_memory import label_checksums, restore_cases, save_cases
from nnunetv2_dale.trainer.safe_training import SafeTraining

_TITLE = "groups of cases:"


class TrustsCases(SafeTraining):
    """Keeps the memory of the cases beside the checkpoints, and looks for groups at the start of each epoch.

    The log says of every training whether groups were not looked for, looked for and not found, or found.
    """

    case_trust: CaseTrustConfig = CaseTrustConfig()
    trust: CaseTrust | None = None  # -> _trust_cases, where cases are trusted
    _labels: dict[str, str] = {}  # noqa: RUF012 -- replaced -> get_tr_and_val_datasets
    groups: Sequence[str] = ()  # what the last look for them found, a sentence for each
    _found_none = False

    def get_tr_and_val_datasets(self) -> tuple[Any, Any]:
        datasets = super().get_tr_and_val_datasets()
        self._labels = label_checksums(datasets[0], self.training_cases)
        return datasets

    def _trust_cases(self, loss: MaskedLoss) -> CaseTrust:
        """The trust of this training's cases; one that goes on has its memory. To be called once it has started."""
        self.trust = CaseTrust(
            loss, self.case_trust, self._batches, self._image_channels, self.configuration_manager.spacing
        )
        if self.current_epoch > 0:
            heads, folder = self.label_manager.num_segmentation_heads, Path(self.output_folder)
            weights = {} if self.given is None else self.given.table.weights
            out = [case for case, weight in weights.items() if weight == 0]
            sentences = restore_cases(self.trust, folder, self.training_cases, heads, self._labels, self.device, out)
            for sentence in sentences:
                self.print_to_log_file("memory of the cases:", sentence)
        self.print_to_log_file(_TITLE, self._when_looked_for(self.trust))
        return self.trust

    def _when_looked_for(self, trust: CaseTrust) -> str:
        if self.case_trust.explained >= 1:
            return 'not looked for: "explained" in "case_trust" is 1'
        first = [epoch for epoch in range(self.num_epochs) if trust.may_doubt(epoch * self.num_iterations_per_epoch)]
        if not first:
            start, after = self.case_trust.start, self.case_trust.after
            return f'not looked for: {self._batches} batches end before "start" {start:g} and "after" {after} allow it'
        return f"looked for from epoch {first[0]} on, of {self.num_epochs}"

    def on_train_epoch_start(self) -> None:
        super().on_train_epoch_start()
        trust = self.trust
        if trust is None or not trust.may_doubt(self.current_epoch * self.num_iterations_per_epoch):
            return
        self.groups = sentences = trust.look_for_groups()
        if not sentences and not self._found_none:
            self.print_to_log_file(_TITLE, f"looked for among {len(self.training_cases)} training cases, found none")
        self._found_none = not sentences
        for sentence in sentences:
            self.print_to_log_file(_TITLE, sentence)

    def save_checkpoint(self, filename: str) -> None:
        super().save_checkpoint(filename)
        if self.trust is not None and not self.disable_checkpointing:
            state = self.trust.displacement.state()
            if self.local_rank == 0:
                save_cases(state, Path(filename), self._labels, self.output_names)
