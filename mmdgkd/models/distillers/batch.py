# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""What a loss may know of a batch beside the records of the networks."""
import logging
from typing import Any, Dict, Mapping, Sequence

import torch
from mmengine.logging import print_log

from mmdgkd.errors import ConfigError
from mmdgkd.models.connectors.standardize_connector import StandardizeConnector


class Batch:
    """The labels of a batch, and which teacher has not seen which image.

    A loss with a method ``begin_batch(batch)`` gets it before the forward of
    each step. Nothing is computed that no loss wants.

    Args:
        data_samples (Sequence[DataSample], optional): The samples; None where
            the images have none, such as those of a generator.
        parts (Mapping[str, Sequence[str]]): The active teachers by the name
            under which the losses get their outputs: that of the teacher, or
            of its ensemble.
        folds (TeacherFolds, optional): Which images teachers were trained on.
            Defaults to None: it is not known.
        mixed (bool): Whether images are mixed otherwise than in their views,
            with partners that are not known. Defaults to False.
    """

    def __init__(self,
                 data_samples: Any,
                 parts: Mapping[str, Sequence[str]],
                 folds: Any = None,
                 mixed: bool = False) -> None:
        self._data_samples = data_samples
        self._parts = parts
        self._folds = folds
        self._mixed = mixed

    def labels(self, here: str) -> torch.Tensor:
        """The labels, as the head of a student takes them.

        Args:
            here (str): The config key of what needs them, for messages.

        Returns:
            torch.Tensor: Classes, int64 of shape (N, ), or soft labels where
            the samples have some, shape (N, C).

        Raises:
            ConfigError: If there is no label, or not one class an image.
        """
        samples = self._data_samples or ()
        for key in ('gt_score', 'gt_label'):
            labels = [getattr(sample, key, None) for sample in samples]
            if not labels or any(label is None for label in labels):
                continue
            if key == 'gt_score':
                return torch.stack(labels)
            if all(label.numel() == 1 for label in labels):
                return torch.cat([label.flatten() for label in labels])
        raise ConfigError(f'{here}: needs the class of each image, which this '
                          'data does not have; leave it out')

    def unseen(self, here: str) -> Dict[str, torch.Tensor]:
        """Which teacher has not been trained on which image.

        An ensemble has not seen an image if none of its active members has.
        A teacher has not seen a mixed image if it has seen neither of both.

        Args:
            here (str): The config key of what needs it, for messages.

        Returns:
            dict[str, torch.Tensor]: By teacher or ensemble, bool of shape
            (N, ), on the CPU; those that have seen all may be left out.

        Raises:
            ConfigError: If it is not known.
        """
        if self._folds is None:
            raise ConfigError(
                f'{here}: needs to know which images each teacher was trained '
                'on; set chain.folds, or leave it out')
        unseen = self._folds.unseen(self._data_samples, here)
        if unseen and self._mixed:
            raise ConfigError(
                f'{here}: needs to know which images are mixed, but '
                'data_preprocessor.batch_augments mixes those of each batch '
                'anew; leave one of both out')
        found = {}
        for name, teachers in self._parts.items():
            if all(teacher in unseen for teacher in teachers):
                found[name] = torch.stack(
                    [unseen[teacher] for teacher in teachers]).all(0)
        return found


def begin_batch(losses: Mapping[str, Any], batch: Batch) -> None:
    """Pass a batch to those losses that have a method for it.

    Args:
        losses (Mapping[str, nn.Module]): The losses of a distiller.
        batch (Batch): The batch.

    Raises:
        ConfigError: If one needs what the batch does not have.
    """
    for name, loss in losses.items():
        if hasattr(loss, 'begin_batch'):
            try:
                loss.begin_batch(batch)
            except ConfigError as error:
                key = str(error).removeprefix(f'{type(loss).__name__}.')
                raise ConfigError(
                    f'model.distiller.distill_losses.{name}.{key}') from None


def parts_of(names: Sequence[str], ensembles: Any) -> Dict[str, list]:
    """Teachers by the name under which losses get their outputs.

    Args:
        names (Sequence[str]): The active teachers.
        ensembles (Ensembles): Those of the distiller.
    """
    parts: Dict[str, list] = {}
    for name in names:
        parts.setdefault(ensembles.of(name) or name, []).append(name)
    return parts


def check_unseen(losses: Mapping[str, Any], parts: Mapping[str, Sequence[str]],
                 folds: Any) -> None:
    """Warn where it makes no difference which images teachers have seen.

    Args:
        losses (Mapping[str, nn.Module]): The losses of a distiller.
        parts (Mapping[str, Sequence[str]]): All teachers, as in a
            :class:`Batch`.
        folds (TeacherFolds, optional): Likewise.
    """
    left_out = [{folds.left_out.get(teacher)
                 for teacher in teachers}
                for teachers in parts.values()] if folds else []
    # One teacher has all of the weight anyway.
    if len(left_out) < 2 or any(
            len(each) == 1 and each != {None} for each in left_out):
        return
    for name, loss in losses.items():
        weights = getattr(loss, 'image_weights', None)
        if getattr(weights, 'unseen_weight', None) is not None:
            print_log(
                f'model.distiller.distill_losses.{name}.unseen_weight: changes'
                f' nothing here: none of {", ".join(parts)}, an ensemble as a '
                'whole, has left out a fold; give teachers a fold, and the '
                'members of an ensemble the same one '
                '(chain.networks.<name>.fold)',
                logger='current',
                level=logging.WARNING)


def check_standardized(distiller: Any) -> None:
    """Refuse what is for logits as they are where they are standardized.

    A gate would compare them with labels, and ``teacher_tau`` flatten teachers
    that have lost their own scale already.

    Args:
        distiller (MultiTeacherDistiller): The distiller.

    Raises:
        ConfigError: If there is one.
    """
    for name, mappings in distiller.loss_forward_mappings.items():
        loss = distiller.distill_losses[name]
        keys = [
            key for key in ('gate', 'teacher_tau') if getattr(loss, key, None)
        ]
        if not keys:
            continue
        connectors = [
            distiller.connectors[record['connector']]
            for record in mappings.values() if record.get('connector')
        ]
        if any(
                isinstance(part, StandardizeConnector)
                for connector in connectors for part in connector.modules()):
            raise ConfigError(
                f'model.distiller.distill_losses.{name}.{keys[0]}: is for '
                'logits as they are, but its logits are standardized '
                '(StandardizeConnector); leave one of both out')
