# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import torch
from mmrazor.models.architectures.connectors import Paraphraser
from mmrazor.models.distillers import OFDDistiller
from mmrazor.models.task_modules import ModuleOutputsRecorder
from mmrazor.registry import MODELS
from torch import nn

from mmdgkd.errors import ConfigError
from mmdgkd.models.connectors.standardize_connector import StandardizeConnector
from mmdgkd.models.connectors.stochastic_drop_connector import \
    StochasticDropConnector
from mmdgkd.models.recorders.multi_teacher_outputs_recorder import \
    MultiTeacherOutputsRecorder
from mmdgkd.models.recorders.sources import initialize_stock
from mmdgkd.models.utils.logits import LOGITS, plain_source
from mmdgkd.utils.config import type_of
from .batch import (Batch, begin_batch, check_standardized, check_unseen,
                    parts_of)
from .edges import expand_edges, place_in_edges
from .ensembles import Ensembles
from .records import (check_labels, check_shapes, detached, in_float32,
                      refused_records)


@MODELS.register_module()
class MultiTeacherDistiller(OFDDistiller):
    """A ``ConfigurableDistiller`` with several teachers.

    It adds to MMRazor's: a recorder of type ``'MultiTeacherOutputs'`` records
    a mapping over the teachers, of which ``teacher='resnet56'`` in a loss
    mapping takes one (a stock recorder names its teacher in the source, such
    as ``'resnet56.backbone'``); a :class:`StochasticDropConnector` among its
    connectors may drop teachers for a step; and the ``terms`` of a loss, such
    as those of :class:`DenseKDLoss`, are logged by teacher. Within
    :class:`DGKD` its config may have ``edges``, see :func:`expand_edges`.

    The source ``'logits'``, the default of ``'ModuleOutputs'`` of the student
    and of ``'MultiTeacherOutputs'``, is the class scores of a network,
    whatever computes them.

    An ensemble counts as one teacher: the records of its active members in a
    recorder of type ``'MultiTeacherOutputs'`` reach the losses as one entry,
    their mean.

    Records in half precision are converted to float32 for connectors and
    losses.

    Args:
        averaged_losses (Mapping[str, str], optional): By loss its teacher, for
            losses that are divided by the number of these teachers that are
            active. Defaults to None: there are none.
        ensembles (Mapping, optional): By name the members of each,
            ``pacemaker=['resnet14', 'row14']`` or
            ``pacemaker=dict(members=[...], mean='probs', tau=4.)``, see
            :func:`ensemble_logits`. Defaults to None: there are none.
        **kwargs: As for ``ConfigurableDistiller``.

    Attributes:
        detach_teachers (bool): Whether to detach the outputs of the teachers,
            which are in a graph where a generator learns from the same
            forward. Defaults to False.

    Raises:
        ConfigError: If there are two drop policies, or if a loss would not
            be trained.
    """

    detach_teachers = False

    def __init__(self,
                 averaged_losses: Optional[Mapping[str, str]] = None,
                 ensembles: Optional[Mapping[str, Any]] = None,
                 **kwargs: Any) -> None:
        if 'edges' in kwargs:
            raise ConfigError(
                'model.distiller.edges: only mmrazor.DGKD, which '
                'knows its teachers by name, can expand them')
        for name in kwargs.get('distill_losses') or ():
            # MMRazor only warns.
            if 'loss' not in name:
                raise ConfigError(
                    f'model.distiller.distill_losses.{name}: has no "loss" in '
                    'its name, so that MMEngine would log it and train '
                    f'nothing with it; call it "loss_{name}", here and in '
                    'loss_forward_mappings')
        recorders = dict(kwargs.pop('student_recorders', None) or {})
        for name, recorder in recorders.items():
            if type_of(recorder) == 'ModuleOutputs':
                recorders[name] = dict(source=LOGITS) | recorder
        super().__init__(student_recorders=recorders, **kwargs)
        self._averaged = dict(averaged_losses or {})
        for module in self.connectors.modules():
            if isinstance(module, Paraphraser) and module.phase == 'train':
                # It is trained already and runs without a graph: DDP would
                # wait for its gradients, and weight decay change it.
                module.requires_grad_(False)
        drops = [
            module for module in self.connectors.modules()
            if isinstance(module, StochasticDropConnector)
        ]
        if len(drops) > 1:
            raise ConfigError(
                'model.distiller.connectors: there are '
                f'{len(drops)} StochasticDropConnectors; leave one, which '
                'drops teachers for all losses')
        # Not as an attribute of its own: it would be registered twice.
        self._drops: Tuple[StochasticDropConnector, ...] = tuple(drops)
        self._names: List[str] = []
        self._active: List[str] = []
        self._ensembles_cfg = ensembles
        self._ensembles = Ensembles(None, [])

    def prepare_from_student(self, model: nn.Module) -> None:
        """Initialize the student recorders.

        Args:
            model (nn.Module): The network in training.

        Raises:
            ConfigError: If the source of a recorder is not in it.
        """
        self._initialize('student_recorders', model, 'the student')

    def records_logits_alone(self, network: nn.Module) -> bool:
        """Whether nothing but its logits is recorded of a student.

        Args:
            network (nn.Module): The network in training.
        """
        logits = (LOGITS, plain_source(network, LOGITS))
        return not self.deliveries.deliveries and all(
            type(recorder) is ModuleOutputsRecorder
            and recorder.source in logits
            for recorder in self.student_recorders.recorders.values())

    def prepare_from_teacher(self, model: Mapping[str, nn.Module]) -> None:
        """Initialize the teacher recorders.

        Args:
            model (Mapping[str, nn.Module]): The teachers by name.

        Raises:
            ConfigError: If a recorder, a drop policy, an ensemble or a loss
                names a teacher or a module that is not there.
        """
        self._names = list(model)
        self._ensembles = Ensembles(self._ensembles_cfg, self._names)
        for name in self._names:
            if 'loss' in name:
                raise ConfigError(
                    f'teachers: the name "{name}" contains "loss", and '
                    'MMEngine adds up all logged values with such names')
        for drop in self._drops:
            drop.check_teachers(self._names)
        for loss in self.distill_losses.values():
            if hasattr(loss, 'check_teachers'):
                loss.check_teachers(self._ensembles.merge_names(self._names))
        check_standardized(self)
        self._ensembles.check_recorders(self.teacher_recorders.recorders)
        # Only for the recorders to find modules by name.
        teachers = nn.ModuleDict(model)
        self._initialize('teacher_recorders', teachers, 'the teachers')
        # Of MMRazor's OFDLoss, if there is one: from the weights of BN.
        self.init_ofd_connectors(teachers)

    def _initialize(self, key: str, model: nn.Module, owner: str) -> None:
        """Initialize recorders; name the key of one that fails."""
        for name, recorder in getattr(self, key).recorders.items():
            try:
                if isinstance(recorder, MultiTeacherOutputsRecorder):
                    recorder.initialize(model)
                else:
                    initialize_stock(recorder, model, owner)
            except ConfigError as error:
                raise ConfigError(
                    f'model.distiller.{key}.{name}.{error}') from None

    def begin_step(self, step: int) -> List[str]:
        """Draw which teachers are active in a step, before any of them runs.

        Args:
            step (int): The iteration, counted from 0.

        Returns:
            list[str]: Names of the active teachers, in order.
        """
        self._active = self._names
        for drop in self._drops:
            mask = drop.begin_step(self._names, step)
            self._active = [name for name in self._names if mask[name]]
        return self._active

    def begin_batch(self,
                    data_samples: Any,
                    folds: Any = None,
                    mixed: bool = False) -> None:
        """Pass the batch of a step to the losses, after :meth:`begin_step`.

        Args:
            data_samples (Sequence[DataSample], optional): Its samples.
            folds (TeacherFolds, optional): Which images the teachers were
                trained on. Defaults to None: it is not known.
            mixed (bool): See :class:`Batch`. Defaults to False.

        Raises:
            ConfigError: If a loss needs what is not known.
        """
        parts = parts_of(self._active, self._ensembles)
        begin_batch(self.distill_losses,
                    Batch(data_samples, parts, folds, mixed))

    def check_folds(self, folds: Any) -> None:
        """Warn where it makes no difference which images teachers have seen.

        Args:
            folds (TeacherFolds, optional): As in :meth:`begin_batch`.
        """
        # Of an ensemble one member may be active alone.
        if not self.has_drops:
            parts = parts_of(self._names, self._ensembles)
            check_unseen(self.distill_losses, parts, folds)

    @property
    def by_logits(self) -> bool:
        """Whether it uses logits otherwise than by their softmax.

        As far as is known: standardized, as the mean of an ensemble, stacked,
        or for a gate.
        """
        return any(
            isinstance(connector, StandardizeConnector)
            for connector in self.connectors.modules()) or any(
                ensemble.mean == 'logits'
                for ensemble in self._ensembles.all.values()) or any(
                    getattr(loss, 'by_logits', False)
                    for loss in self.distill_losses.values())

    @property
    def by_sigmoid(self) -> bool:
        """Whether a loss reads each logit as a label of its own."""
        return any(
            getattr(loss, 'activation', None) == 'sigmoid'
            for loss in self.distill_losses.values())

    def check_means(self) -> None:
        """Refuse ensembles by a mean of softmax for a loss by sigmoid.

        Their logits would be of classes that exclude each other, without an
        error.

        Raises:
            ConfigError: If there is one.
        """
        for name, ensemble in self._ensembles.all.items():
            if ensemble.mean == 'probs' and self.by_sigmoid:
                raise ConfigError(
                    f"model.distiller.ensembles.{name}.mean: 'probs' is a mean"
                    ' of softmax, but the labels of the student do not exclude'
                    " each other (DenseKDLoss.activation='sigmoid'); use "
                    "'logits'")

    def check_shared(self) -> None:
        """Refuse what networks that are trained together cannot share.

        A connector or loss with parameters would be of all of them, and a
        recorder of a function of the first, without an error.

        Raises:
            ConfigError: If there is one.
        """
        several = 'the student is several networks'
        for part in ('connectors', 'distill_losses'):
            for name, module in getattr(self, part).items():
                if module.state_dict():
                    raise ConfigError(
                        f'model.distiller.{part}.{name}: learns, and '
                        f'{several}, each of which would need its own; use '
                        'losses without, such as those on logits')
        for name, recorder in self.student_recorders.recorders.items():
            if not isinstance(recorder, ModuleOutputsRecorder):
                raise ConfigError(
                    f'model.distiller.student_recorders.{name}: {several}, of '
                    'which modules can be recorded; use '
                    "type='mmrazor.ModuleOutputs' or 'mmrazor.ModuleInputs'")

    @property
    def has_drops(self) -> bool:
        """Whether a drop policy is among its connectors."""
        return bool(self._drops)

    def follow(self, active: List[str]) -> None:
        """Begin a step with the active teachers of another distiller.

        Args:
            active (list[str]): Their names, in order.
        """
        self._active = active

    def recorded_logits(self) -> Dict[str, torch.Tensor]:
        """The recorded outputs of the teachers that ran, by name."""
        recorder = next(iter(self.teacher_recorders.recorders.values()))
        return recorder.get_record_data()

    def supply(self, logits: Dict[str, torch.Tensor]) -> None:
        """Replace the records by these outputs of the teachers.

        Args:
            logits (dict[str, torch.Tensor]): By teacher.
        """
        for recorder in self.teacher_recorders.recorders.values():
            recorder.supply(logits)

    def merged_names(self, names: Sequence[str]) -> List[str]:
        """The names under which losses get the outputs of teachers.

        Args:
            names (Sequence[str]): The teachers.

        Returns:
            list[str]: An ensemble once, in place of its first member.
        """
        return self._ensembles.merge_names(names)

    def task_weight(self) -> int:
        """The factor of the student's own loss that the losses demand."""
        return max(
            (loss.task_weight(len(self._ensembles.merge_names(self._names)))
             for loss in self.distill_losses.values()
             if hasattr(loss, 'task_weight')),
            default=1)

    def compute_distill_losses(self) -> Dict[str, torch.Tensor]:
        """Compute the losses of the active teachers.

        Returns:
            dict[str, torch.Tensor]: Each loss by its name and, for a loss with
            terms, each term under a name without "loss" in it, so that it is
            logged and not summed again.

        Raises:
            ConfigError: If a mapping, a connector or a loss does not fit the
                records, such as maps of different shapes.
        """
        losses: Dict[str, torch.Tensor] = {}
        for loss_name, mappings in self.loss_forward_mappings.items():
            if any(self._is_dropped(**record) for record in mappings.values()):
                tie = self._tie(loss_name, mappings)
                if tie is not None:
                    losses[loss_name] = tie
                continue
            loss_module = self.distill_losses[loss_name]
            records = {}
            for key, record in mappings.items():
                with refused_records(f'{loss_name}.{key}'):
                    records[key] = self.get_record(**record)
            try:
                loss = loss_module(**records)
            except ConfigError as error:
                raise ConfigError('model.distiller.distill_losses.'
                                  f'{loss_name}.{error}') from None
            except RuntimeError:
                check_labels(loss_name, records)
                check_shapes(loss_name, records)
                raise
            if loss_name in self._averaged:
                active = {*self._averaged.values()
                          } & {*self._ensembles.merge_names(self._active)}
                loss = loss / len(active)
            losses[loss_name] = loss
            for name, term in getattr(loss_module, 'terms', {}).items():
                losses[_term_name(loss_name, name)] = term
        return losses

    def get_record(self,
                   recorder: str,
                   from_student: bool,
                   record_idx: int = 0,
                   data_idx: Optional[int] = None,
                   connector: Optional[str] = None,
                   connector_idx: Optional[int] = None,
                   teacher: Optional[str] = None) -> Any:
        """The data of a recorder, through its connector.

        Args:
            recorder (str): Its name.
            from_student (bool): Whether it is one of the student's.
            record_idx (int): Which call of the source. Defaults to 0.
            data_idx (int, optional): Which item of a tuple. Defaults to None.
            connector (str, optional): The connector. Defaults to None.
            connector_idx (int, optional): Which item of the connector's
                output. Defaults to None.
            teacher (str, optional): The teacher or the ensemble, for a
                recorder of several. Defaults to None.
        """
        record = super().get_record(recorder, from_student, record_idx,
                                    data_idx)
        if self.detach_teachers and not from_student:
            record = detached(record)
        record, of_all = in_float32(record), not from_student and isinstance(
            self.teacher_recorders.get_recorder(recorder),
            MultiTeacherOutputsRecorder)
        if teacher is not None:
            record = self._ensembles.pick(record, teacher)
        if connector is not None:
            record = self.connectors[connector](record)
        if of_all and isinstance(record, Mapping):
            # After a drop policy, which knows the teachers by name.
            record = self._ensembles.merge(record)
        return record if connector_idx is None else record[connector_idx]

    def forget(self) -> None:
        """Clear all records of the last step.

        They are in a graph; modules with a recorder can then be copied.
        """
        for recorders in (self.student_recorders, self.teacher_recorders):
            for recorder in recorders.recorders.values():
                recorder.reset_data_buffer()

    def _is_dropped(self,
                    recorder: str,
                    from_student: bool,
                    teacher: Optional[str] = None,
                    **_: Any) -> bool:
        """Whether a record is missing because its teacher was dropped."""
        if from_student or len(self._active) == len(self._names):
            return False
        if teacher is not None:
            return teacher not in (*self._active,
                                   *self._ensembles.merge_names(self._active))
        source = self.teacher_recorders.get_recorder(recorder)
        return (not isinstance(source, MultiTeacherOutputsRecorder)
                and not source.data_buffer)

    def _tie(self, loss_name: str,
             mappings: Mapping[str, Dict]) -> Optional[torch.Tensor]:
        """A zero that depends on all parameters of a loss that is left out.

        DDP waits for a gradient of every parameter in every step.
        """
        names = {record.get('connector') for record in mappings.values()}
        parts = [self.connectors[name] for name in sorted(names - {None})]
        params = [
            param for part in (self.distill_losses[loss_name], *parts)
            for param in part.parameters() if param.requires_grad
        ]
        return sum(param.sum() * 0 for param in params) if params else None


def build_distiller(
        cfg: Dict, student: nn.Module,
        teachers: Mapping[str, nn.Module]) -> 'MultiTeacherDistiller':
    """Build a distiller for a student and its teachers.

    Args:
        cfg (dict): Its config.
        student (nn.Module): The network in training.
        teachers (Mapping[str, nn.Module]): The teachers by name.

    Raises:
        ConfigError: If it is no :class:`MultiTeacherDistiller`, names modules
            or teachers that do not exist, or has wrong edges.
    """
    names = list(teachers)
    merged = Ensembles(cfg.get('ensembles'), names).merge_names(names)
    distiller = MODELS.build(expand_edges(cfg, merged))
    if not isinstance(distiller, MultiTeacherDistiller):
        raise ConfigError(
            "model.distiller: type must be 'mmrazor.MultiTeacherDistiller', "
            f'not {type(distiller).__name__}')
    try:
        distiller.prepare_from_student(student)
        distiller.prepare_from_teacher(teachers)
    except ConfigError as error:
        raise ConfigError(place_in_edges(str(error), cfg, merged)) from None
    return distiller


def _term_name(loss_name: str, teacher: str) -> str:
    """Such as ``kd.resnet56`` for the loss ``loss_kd``."""
    stem = loss_name.replace('loss', '').strip('_') or 'term'
    return f'{stem}.{teacher}'
