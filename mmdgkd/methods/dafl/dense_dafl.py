# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import contextlib
from typing import Any, Callable, Dict, Iterator, List, Optional

import torch
from mmengine.structures import BaseDataElement
from mmrazor.models.architectures.generators.base_generator import \
    BaseGenerator
from mmrazor.models.utils import add_prefix
from mmrazor.registry import MODELS

from mmdgkd.errors import ConfigError
from mmdgkd.models.algorithms.dgkd import DGKD
from mmdgkd.models.distillers.multi_teacher_distiller import (
    MultiTeacherDistiller, build_distiller)
from mmdgkd.models.utils.networks import running_network
from mmdgkd.utils.config import reason_of
from mmdgkd.utils.random import noise_seed


def latent_noise(seed: int,
                 step: int,
                 rank: int,
                 batch_size: int,
                 latent_dim: int,
                 device: Any = 'cpu') -> torch.Tensor:
    """The input of the generator, for a rank and step.

    A function of its arguments on one kind of device; a GPU draws other
    numbers than the CPU. The global generators stay as they are.

    Args:
        seed (int): The seed of the run.
        step (int): The iteration, counted from 0.
        rank (int): The rank; each draws other noise.
        batch_size (int): N.
        latent_dim (int): D.
        device (torch.device | str): Its device. Defaults to ``'cpu'``.

    Returns:
        torch.Tensor: Standard normal, float32 of shape (N, D).
    """
    generator = torch.Generator(device)
    generator.manual_seed(noise_seed(seed, step, rank))
    return torch.randn(
        batch_size,
        latent_dim,
        dtype=torch.float32,
        device=device,
        generator=generator)


@MODELS.register_module()
class DenseDAFL(DGKD):
    """DGKD without data: the teachers run on images of a generator.

    Data-free learning of student networks (DAFL, ICCV 2019,
    arXiv 1904.01186), with any number of teachers. In each step a generator
    makes a batch of images out of noise, and the active teachers run on them
    once, for both of

    - the generator, which is trained by MMRazor's losses in
      ``generator_distiller``: for confident predictions (``OnehotLikeLoss``)
      and large features (``ActivationLoss``) of each teacher, and for all
      classes equally often (``InformationEntropyLoss``);
    - the student, which is distilled from the teachers by ``distiller``, as in
      :class:`DGKD`, with its edges and drop policy. Its losses have no
      gradient for images and generator.

    One backward serves both, as their losses share no parameter; the two
    optimizers come from :class:`GeneratorOptimWrapperConstructor`.

    Only the shape of a batch of data is used: a data set of :class:`NoImages`
    will do. There are no labels, and no loss of the network's own. The paper
    has one teacher. It is our choice that several are averaged for the
    generator (``edge_reduction='mean'``), and that dropped teachers have no
    part in its losses; ``edges`` of ``generator_distiller`` with None for a
    teacher leaves that one out.

    Args:
        architecture (dict | BaseModel): As for :class:`DGKD`.
        teachers (dict[str, dict]): Likewise.
        distiller (dict): Likewise, with the losses of the student.
        generator (dict): Config of one of MMRazor's generators, such as
            ``DAFLGenerator``. Its images are normalized as by the data
            preprocessor, to about zero mean and unit variance.
        generator_distiller (dict): Config of a
            :class:`MultiTeacherDistiller` with the losses of the generator.
            Its recorded data has gradients for the images.
        task_loss_weight (float): Must be 0, without labels. Defaults to 0.
        gray (bool): Whether to repeat the first channel of the images in all
            channels, for networks that are trained on grey data in three. Our
            choice; the paper's network for MNIST has one channel.
            Defaults to False.
        **kwargs: As for :class:`DGKD`.

    Attributes:
        images (torch.Tensor, optional): Those of the last step, normalized
            and detached, shape (N, C, H, W).

    Raises:
        ConfigError: As :class:`DGKD`; if the generator cannot be built or
            makes images of another size than the data; or if the losses of
            the generator do not fit.
    """

    def __init__(self,
                 architecture: Any,
                 teachers: Dict[str, Dict],
                 distiller: Dict,
                 generator: Dict,
                 generator_distiller: Dict,
                 task_loss_weight: float = 0.,
                 gray: bool = False,
                 **kwargs: Any) -> None:
        if task_loss_weight:
            raise ConfigError(
                f'model.task_loss_weight: {task_loss_weight!r} must be 0: '
                'images of a generator have no labels')
        if distiller.get('distill_deliveries'):
            raise ConfigError(
                'model.distiller.distill_deliveries: would give the student '
                'tensors in the graph of the generated images; leave it out')
        super().__init__(architecture, teachers, distiller, task_loss_weight,
                         **kwargs)
        self.distiller.detach_teachers = True
        self.generator = _build_generator(generator)
        with _under_generator_key():
            self.generator_distiller = build_distiller(
                generator_distiller, running_network(self.student, 'loss'), {
                    name: running_network(teacher, 'tensor')
                    for name, teacher in self.teachers.items()
                })
        if self.generator_distiller.has_drops:
            raise ConfigError(
                'model.generator_distiller.connectors: has a '
                'StochasticDropConnector, but that of model.distiller '
                'already draws which teachers are active; leave it out')
        if not self.generator_distiller.loss_forward_mappings:
            raise ConfigError(
                'model.generator_distiller: has no losses, so that the '
                'generator would learn nothing; those of the paper are '
                'mmrazor.OnehotLikeLoss, ActivationLoss and '
                'InformationEntropyLoss')
        self.gray = gray
        self.images: Optional[torch.Tensor] = None
        self._made: Optional[torch.Tensor] = None

    @property
    def distillers(self) -> List[MultiTeacherDistiller]:
        """All distillers with recorders in a step."""
        return [self.distiller, self.generator_distiller]

    def loss(
        self,
        inputs: torch.Tensor,
        data_samples: Optional[List[BaseDataElement]] = None
    ) -> Dict[str, torch.Tensor]:
        """One training forward: generator, active teachers, student.

        Args:
            inputs (torch.Tensor): A batch of shape (N, C, H, W), of any
                values.
            data_samples (list[BaseDataElement], optional): Any samples.

        Returns:
            dict[str, torch.Tensor]: ``distill.*``, as of :class:`DGKD`, and
            ``generator.*``, the losses of the generator.

        Raises:
            ConfigError: If the images are of another size than the batch.
        """
        step = self._clock.tick()
        noise = latent_noise(self._clock.seed, step, self._clock.rank,
                             len(inputs), self.generator.latent_dim,
                             next(self.generator.parameters()).device)
        # float32, as from a data preprocessor, under autocast too.
        made = self.generator(noise, len(inputs)).float()
        if self.gray:
            made = made[:, :1].expand_as(made)
        if made.shape != inputs.shape:
            raise ConfigError(
                'model.generator.img_size: its images are of shape '
                f'{tuple(made.shape[1:])}, those of the data of '
                f'{tuple(inputs.shape[1:])}; both must be the same')
        self._made, self.images = made, made.detach()
        losses = self._losses_of_step(step, self.images, data_samples)
        with _under_generator_key():
            made_losses = self.generator_distiller.compute_distill_losses()
        if not made_losses:
            # All of its teachers are dropped; DDP waits for all gradients.
            made_losses = dict(loss_none=made.sum() * 0)
        losses.update(add_prefix(made_losses, 'generator'))
        # Free their graph before the next step.
        self._made = None
        for distiller in self.distillers:
            distiller.forget()
        return losses

    def use_store(self, store: Any) -> None:
        """Refuse a logit store.

        Args:
            store (LogitStore): The store.

        Raises:
            ConfigError: Always: each step has new images.
        """
        raise ConfigError('chain.logit_store: must be None for '
                          'mmrazor.DenseDAFL, whose images are new in each '
                          'step, so that a lookup would never hit')

    def _begin_batch(self, data_samples: Any) -> None:
        """The samples are of other images."""
        super()._begin_batch(None)

    def _run_teachers(self, names: List[str], inputs: torch.Tensor,
                      data_samples: Any, timing: Optional[Callable]) -> None:
        """Forward them with gradients; both distillers record."""
        self.generator_distiller.follow(names)
        with self.generator_distiller.teacher_recorders:
            self._teachers.run(
                names, self._made, data_samples, timing=timing, grad=True)

    def _weigh(self, task_losses: Dict[str, Any]) -> Dict[str, Any]:
        """Drop the losses by labels: there are none."""
        return {}


def _build_generator(cfg: Dict) -> BaseGenerator:
    try:
        generator = MODELS.build(cfg)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ConfigError('model.generator: cannot be built '
                          f'({reason_of(error)})') from None
    if not isinstance(generator, BaseGenerator):
        raise ConfigError(
            'model.generator.type: must be a generator of MMRazor, such as '
            f'mmrazor.DAFLGenerator, not {type(generator).__name__}')
    return generator


@contextlib.contextmanager
def _under_generator_key() -> Iterator[None]:
    """Name the generator's distiller in error messages."""
    try:
        yield
    except ConfigError as error:
        message = str(error).replace('model.distiller',
                                     'model.generator_distiller')
        raise ConfigError(message) from None
