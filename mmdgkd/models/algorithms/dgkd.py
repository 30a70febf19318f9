# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import logging
from typing import Any, Callable, Dict, List, Optional

import torch
from mmengine.logging import print_log
from mmengine.structures import BaseDataElement
from mmrazor.models.algorithms import BaseAlgorithm
from mmrazor.models.utils import add_prefix
from mmrazor.registry import MODELS
from torch import nn

from mmdgkd.errors import ConfigError
from mmdgkd.models.distillers.multi_teacher_distiller import (
    MultiTeacherDistiller, build_distiller)
from mmdgkd.models.distillers.records import detached
from mmdgkd.models.teachers.cached_teachers import (CachedTeachers,
                                                    teacher_facts)
from mmdgkd.models.teachers.frozen_teachers import FrozenTeachers
from mmdgkd.models.teachers.teacher_folds import TeacherFolds
from mmdgkd.models.teachers.teacher_input import convert_inputs
from mmdgkd.models.teachers.teacher_options import TeacherOptions
from mmdgkd.models.utils.heads import fit_to_head
from mmdgkd.models.utils.networks import (network_of, peers_of,
                                          running_network, teaching_network)
from mmdgkd.models.utils.step_clock import StepClock
from mmdgkd.models.utils.weights import load_weights


@MODELS.register_module()
class DGKD(BaseAlgorithm):
    """Densely Guided Knowledge Distillation: one stage of a chain.

    Distills one network from any number of larger, trained ones. With all
    larger networks as teachers it is DGKD (ICCV 2021, arXiv 2009.08825), with
    the one before TAKD (arXiv 1902.03393), with the largest plain KD.

    The teachers are frozen functions: in eval mode as a whole, without
    gradients, run in ``tensor`` mode and not through their losses, and no part
    of the model's state. Each step begins with the keep mask of the distiller;
    teachers that it drops do not run.

    Args:
        architecture (dict | BaseModel): The network in training, or another
            algorithm of MMRazor that trains one, such as
            ``ItePruneAlgorithm``, or several. One that trains several has a
            method ``over_networks(losses_of)``, which collects the losses of
            each.
        teachers (dict[str, dict]): For each teacher, by name, its model config
            ``build_cfg`` (or the built network, with its weights), the file
            of its weights, ``ckpt_path``, and perhaps their key in the file,
            ``ckpt_key``, and which classes of the file it has, ``picked``, see
            :func:`pick_classes`. The order does not matter.
        distiller (dict): Config of a :class:`MultiTeacherDistiller`.
        task_loss_weight (float): Weight of the network's own loss, 1-λ in the
            papers. A ``DenseKDLoss`` of the paper's form multiplies it by the
            number of teachers. With 0 the loss is only logged, as
            ``student.task``. Defaults to 1.0.
        teacher_options (dict, optional): How the teachers are run, see
            :class:`TeacherOptions`: ``channels_last``, ``precision``,
            ``fold_bn``, ``compile``. Defaults to None: as by default.
        teacher_module_inplace (bool): Whether in-place modules of the teachers
            stay in place. A recorder right before one would then record its
            output. Defaults to False.
        folds (dict, optional): Which images the teachers were not trained on,
            for the ``unseen_weight`` of a loss: the number of folds ``num``,
            their ``seed``, and by teacher the fold that it has not seen,
            ``left_out``, see :func:`fold_of`. Defaults to None: it is not
            known.
        module_inplace (bool, optional): Whether in-place modules of the
            network in training stay in place, likewise. Defaults to None: if
            nothing but its logits is recorded.
        **kwargs: ``data_preprocessor`` and ``init_cfg`` of MMRazor's
            ``BaseAlgorithm``.

    Attributes:
        soft_share (float): A factor of the distiller's losses; the weight w of
            the network's own loss is then share * w + (1 - share). A hook may
            set it in each iteration. Defaults to 1.

    Raises:
        ConfigError: If a teacher has no config, or its file is missing, of
            another architecture or with another number of classes; or if the
            distiller names a teacher or a module that is not there; or for an
            unknown teacher option, or wrong folds.
    """

    def __init__(self,
                 architecture: Any = None,
                 teachers: Optional[Dict[str, Dict]] = None,
                 distiller: Optional[Dict] = None,
                 task_loss_weight: float = 1.0,
                 teacher_options: Optional[Dict] = None,
                 teacher_module_inplace: bool = False,
                 folds: Optional[Dict] = None,
                 module_inplace: Optional[bool] = None,
                 **kwargs: Any) -> None:
        if architecture is None:
            raise ConfigError(
                'model.architecture: is missing; a chain fills this template '
                'for each stage, so give a tool for one network '
                'WORK_DIR/<network>/<network>.py instead')
        if distiller is None:
            raise ConfigError('model.distiller: is missing')
        super().__init__(
            architecture=architecture, module_inplace=True, **kwargs)
        if not isinstance(teachers, dict) or not teachers:
            raise ConfigError('model.teachers: must be a dict of at least one '
                              'teacher, name -> dict(build_cfg=..., '
                              'ckpt_path=...)')
        self.task_loss_weight = task_loss_weight
        # By name: MMEngine sorts the keys of a config that it writes, and a
        # stage that is run from there must give the same bits.
        networks = {
            name: _build_teacher(name, cfg)
            for name, cfg in sorted(teachers.items())
        }
        self._folds = TeacherFolds.from_cfg(folds, list(networks))
        self._cache: Optional[CachedTeachers] = None
        self._teacher_facts = {
            name:
            teacher_facts(network, teachers[name]['build_cfg'],
                          teachers[name].get('ckpt_path'),
                          teachers[name].get('input'))
            for name, network in networks.items()
        }
        networks = {
            name: teaching_network(network)
            for name, network in networks.items()
        }
        for name, network in networks.items():
            if teachers[name].get('input'):
                convert_inputs(network, teachers[name]['input'])
        self._teachers = FrozenTeachers(
            networks, TeacherOptions.from_cfg(teacher_options))
        if not teacher_module_inplace:
            for name, teacher in self.teachers.items():
                # MMRazor's own evaluates the second argument.
                self.set_module_inplace_false(teacher,
                                              f'self.teachers["{name}"]')
        # Sources of recorders are module names within the networks.
        self.distiller = build_distiller(
            distiller, running_network(self.student, 'loss'), {
                name: running_network(teacher, 'tensor')
                for name, teacher in self.teachers.items()
            })
        if module_inplace is None:
            module_inplace = self.distiller.records_logits_alone(
                network_of(self.student))
        self.module_inplace = module_inplace
        if not module_inplace:
            self.set_module_inplace_false(self.student, 'self.architecture')
        if peers_of(self.student):
            self.distiller.check_shared()
        for peer in peers_of(self.student):
            self.distiller.prepare_from_student(peer)
        for network in (network_of(self.student), *peers_of(self.student)):
            fit_to_head(self.distiller, network)
        self.distiller.check_means()
        self.distiller.check_folds(self._folds)
        self._clock = StepClock()
        self.soft_share = 1.
        self._register_state_dict_hook(_name_as_alone)
        # Before `architecture.` is looked for; MMEngine calls it, too.
        self._register_load_state_dict_pre_hook(
            _accept_alone, with_module=True)

    @property
    def student(self) -> nn.Module:
        """Alias for ``architecture``."""
        return self.architecture

    @property
    def teachers(self) -> Dict[str, nn.Module]:
        """The teachers by name. They are no submodules."""
        return self._teachers.modules

    @property
    def backbone(self) -> nn.Module:
        """That of the network in training, where MMPretrain's tools look."""
        return network_of(self.student).backbone

    def extract_feat(self, *args: Any, **kwargs: Any) -> Any:
        """Extract features by the network in training, for such tools.

        Args:
            *args: As for the network.
            **kwargs: Likewise.
        """
        return network_of(self.student).extract_feat(*args, **kwargs)

    def loss(
        self,
        inputs: torch.Tensor,
        data_samples: Optional[List[BaseDataElement]] = None
    ) -> Dict[str, torch.Tensor]:
        """Run the active teachers, then the student; compute all losses.

        Args:
            inputs (torch.Tensor): A preprocessed batch, shape (N, C, H, W).
            data_samples (list[BaseDataElement], optional): Its labels.

        Returns:
            dict[str, torch.Tensor]: ``student.*``, the network's own losses
            after weighting, and ``distill.*``, the distiller's losses and
            their terms by teacher; of several students those of each, see
            ``over_networks`` of the architecture.
        """
        return self._losses_of_step(self._clock.tick(), inputs, data_samples)

    def _losses_of_step(self, step: int, inputs: torch.Tensor,
                        data_samples: Any) -> Dict[str, torch.Tensor]:
        """The losses of an iteration, counted from 0."""
        distiller = self.distiller
        active = distiller.begin_step(step)
        if self.soft_share == 0 and not any(
                param.requires_grad for param in distiller.parameters()):
            # DDP waits for the gradients of no connector.
            return self._over_networks(lambda network: add_prefix(
                network(inputs, data_samples, mode='loss'), 'student'))

        self._begin_batch(data_samples)
        self._record_teachers(active, inputs, data_samples)
        distiller.set_deliveries_override(True)

        def losses_of(network: nn.Module) -> Dict[str, torch.Tensor]:
            with distiller.student_recorders, distiller.deliveries:
                task_losses = network(inputs, data_samples, mode='loss')
            losses = add_prefix(self._weigh(task_losses), 'student')
            distill_losses = distiller.compute_distill_losses()
            if self.soft_share != 1:
                distill_losses = _scaled(distill_losses, self.soft_share)
            losses.update(add_prefix(distill_losses, 'distill'))
            return losses

        return self._over_networks(losses_of)

    def _record_teachers(self, names: List[str], inputs: torch.Tensor,
                         data_samples: Any) -> None:
        """Have the recorders hold the outputs of teachers, run or cached."""
        distiller = self.distiller
        missing, timing = names, None
        if self._cache is not None:
            missing = self._cache.lookup(names, inputs, data_samples)
            timing = self._cache.timing
        self._teachers.check(missing, inputs)
        # A delivery keeps records of the teachers' forward for the student.
        distiller.set_deliveries_override(False)
        with distiller.teacher_recorders, distiller.deliveries:
            self._run_teachers(missing, inputs, data_samples, timing)
            if self._cache is not None:
                self._cache.complete()

    @torch.no_grad()
    def fill_store(self, names: List[str], inputs: torch.Tensor,
                   data_samples: Any) -> None:
        """Run teachers on a batch, for the store alone.

        Args:
            names (list[str]): The teachers.
            inputs (torch.Tensor): A preprocessed batch, shape (N, C, H, W).
            data_samples (list[DataSample]): They have the views of the batch.

        Raises:
            ConfigError: If the logits cannot be cached.
        """
        self._record_teachers(names, inputs, data_samples)

    @property
    def distillers(self) -> List[MultiTeacherDistiller]:
        """The distillers whose recorders are in use in a step."""
        return [self.distiller]

    def use_store(self, store: Any) -> None:
        """Look logits of teachers up in a store, and add new ones to it.

        Args:
            store (LogitStore): The store.

        Raises:
            ConfigError: If the losses need more of the teachers than their
                logits.
        """
        self._cache = CachedTeachers(store, self._teachers, self.distiller,
                                     self._teacher_facts,
                                     self.data_preprocessor)

    def _begin_batch(self, data_samples: Any) -> None:
        """Pass the batch to the losses."""
        mixed = bool(getattr(self.data_preprocessor, 'batch_augments', None))
        self.distiller.begin_batch(data_samples, self._folds, mixed)

    def _run_teachers(self, names: List[str], inputs: torch.Tensor,
                      data_samples: Any, timing: Optional[Callable]) -> None:
        """Forward teachers, with the recorders on."""
        self._teachers.run(names, inputs, data_samples, timing=timing)

    def _weigh(self, task_losses: Dict[str, Any]) -> Dict[str, Any]:
        weight = self.task_loss_weight * self.distiller.task_weight()
        weight = self.soft_share * weight + (1 - self.soft_share)
        if weight == 1:
            return task_losses
        if weight:
            return _scaled(task_losses, weight)
        # Out of the graph: 0 * inf would be NaN.
        return {
            key.replace('loss', 'task'): detached(value)
            for key, value in task_losses.items()
        }

    def _over_networks(self, losses_of: Callable) -> Dict[str, torch.Tensor]:
        """The losses of all networks that are trained in a step."""
        # Each of several is distilled from the same outputs of the teachers.
        over_networks = getattr(self.student, 'over_networks', None)
        if over_networks is not None:
            return over_networks(losses_of)
        return losses_of(self.student)

    def _apply(self, fn: Callable, *args: Any, **kwargs: Any) -> nn.Module:
        """Move the teachers to another device or dtype, too."""
        self._teachers.apply_to_tensors(fn)
        return super()._apply(fn, *args, **kwargs)


def _name_as_alone(algorithm: DGKD, state: Dict[str, Any], prefix: str,
                   _: Dict) -> None:
    """Give weights of the student the names that it gives them alone.

    A network such as timm's renames what it loads, also within an algorithm,
    but what it saves only where it is not within another module.

    Args:
        algorithm (DGKD): The algorithm.
        state (dict): The state dict, which is changed.
        prefix (str): What is in front of its own names.
    """
    prefix = f'{prefix}architecture.'
    alone = {
        prefix + name: data
        for name, data in algorithm.architecture.state_dict().items()
    }
    within = [name for name in state if name.startswith(prefix)]
    if set(within) != set(alone):
        for name in within:
            del state[name]
        state.update(alone)


def _accept_alone(algorithm: DGKD, state: Dict[str, Any], prefix: str, *_:
                  Any) -> None:
    """Load weights of the student alone as those of the student.

    MMEngine loads what fits and goes on: a tool with the file of a network and
    the config of its stage would test random weights.

    Args:
        algorithm (DGKD): The algorithm.
        state (dict): The state dict, which is changed.
        prefix (str): What is in front of its own names.
    """
    within = f'{prefix}architecture.'
    if any(name.startswith(within) for name in state):
        return
    for name in algorithm.architecture.state_dict():
        if prefix + name in state:
            state[within + name] = state.pop(prefix + name)


def _scaled(losses: Dict[str, Any], weight: float) -> Dict[str, Any]:
    """Losses times a weight; values that are only logged stay."""
    scaled = {}
    for key, value in losses.items():
        if 'loss' not in key:
            scaled[key] = value
        elif isinstance(value, (list, tuple)):
            scaled[key] = [weight * item for item in value]
        else:
            scaled[key] = weight * value
    return scaled


def _build_teacher(name: str, cfg: Dict) -> nn.Module:
    here = f'model.teachers.{name}'
    unknown = set(cfg) - {
        'build_cfg', 'ckpt_path', 'ckpt_key', 'input', 'picked'
    }
    if 'build_cfg' not in cfg or unknown:
        raise ConfigError(
            f'{here}: takes build_cfg and ckpt_path, not {", ".join(cfg)}')
    teacher = cfg['build_cfg']
    if isinstance(teacher, nn.Module):
        return teacher
    build_cfg, teacher = teacher, MODELS.build(teacher)
    if cfg.get('ckpt_path'):
        load_weights(teacher, cfg['ckpt_path'], f'{here}.ckpt_path',
                     cfg.get('ckpt_key'), cfg.get('picked'), build_cfg)
    else:
        teacher.init_weights()
        print_log(
            f'{here} has no ckpt_path: its weights are random',
            logger='current',
            level=logging.WARNING)
    return teacher
