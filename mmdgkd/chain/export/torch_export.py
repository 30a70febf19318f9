# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""A trained network as a program that runs without this project."""
import copy
import os.path as osp
from dataclasses import dataclass, field, replace
from typing import Any, Dict, List, Optional, Sequence, Tuple

import torch
from mmengine.config import Config
from mmengine.model import BaseDataPreprocessor
from mmengine.registry import DATASETS, MODELS, DefaultScope
from torch import nn

from mmdgkd.chain.chain import Chain
from mmdgkd.chain.method import METHODS
from mmdgkd.chain.network import count_macs
from mmdgkd.chain.stage_config import network_config
from mmdgkd.chain.work_dir import WorkDir
from mmdgkd.errors import ConfigError
from mmdgkd.fileio.files import atomic_write
from mmdgkd.models.utils.networks import static_network
from mmdgkd.models.utils.weights import load_weights
from mmdgkd.utils.config import reason_of
from mmdgkd.utils.same_logits import logits_match
from .formats import FORMATS
from .preprocessing import FlipChannels, is_neutral, preprocessing_of

# Number of images on which program and network are compared.
_IMAGES = 16
# The mean difference of a logit, as a share of the largest, where images are
# resized by other code than that of the data: pixels differ by one of 256
# levels, and a wrong order of channels or a wrong size by far more.
_RESIZED = 0.02


@dataclass(frozen=True)
class ProgramFacts:
    """Size and error of a program.

    Attributes:
        params (int): Number of parameters.
        macs (int): Multiply-accumulate operations per image of the
            convolutions and matrix products.
        size (int): Bytes of the file.
        error (float): The largest difference of a logit from the network's,
            on the images that it was made with.
        inputs (dict): ``dtype``, ``shape`` and ``channels`` of the images that
            it takes, the ``steps`` of the data's pipeline that must come
            before it, ``mean`` and ``std`` by which it normalizes, in the
            order of ``channels``, and the ``classes`` of its logits. Also in
            the file. Defaults to {}.
        extras (tuple): What methods have written beside it, see
            :meth:`Method.export_extra`. Defaults to ().
    """

    params: int
    macs: int
    size: int
    error: float
    inputs: Dict[str, Any] = field(default_factory=dict)
    extras: Tuple[Any, ...] = ()


@dataclass(frozen=True)
class ProgramImages:
    """Some images as the data gives them, and as people have them.

    Attributes:
        given (Tensor): Shape (N, C, H, W), N at least 2, after the pipeline.
        taken (list[Tensor]): The same images, as the program takes them, in
            batches of one size.
        front (nn.Module): From the latter to the former.
        any_size (bool): Whether images of any size are taken.
        inputs (dict): What is known of the latter, see
            :class:`ProgramFacts`.
    """

    given: torch.Tensor
    taken: List[torch.Tensor]
    front: nn.Module = field(default_factory=nn.Identity)
    any_size: bool = False
    inputs: Dict[str, Any] = field(default_factory=dict)


class Program(nn.Module):
    """From pixels to logits.

    Args:
        front (nn.Module): From the pixels to those that the data gives.
        network (nn.Module): A classifier of MMPretrain, see
            :func:`static_network`.
        preprocessor (BaseDataPreprocessor): Its mean and standard deviation
            become a part of the program.
    """

    def __init__(self, front: nn.Module, network: nn.Module,
                 preprocessor: BaseDataPreprocessor) -> None:
        super().__init__()
        self.front, self.network = front, network
        self.flip = bool(getattr(preprocessor, 'to_rgb', False))
        normalize = getattr(preprocessor, '_enable_normalize', False)
        for name, default in (('mean', 0.), ('std', 1.)):
            value = torch.full((1, 1, 1), default)
            if normalize:
                value = getattr(preprocessor, name).detach().clone()
            self.register_buffer(name, value)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """The logits, shape (N, classes).

        Args:
            images (torch.Tensor): Shape (N, C, H, W), as the front takes them.
        """
        images = self.front(images.float())
        if self.flip and images.shape[1] == 3:
            images = images.flip(1)
        # By position: the arguments of a traced graph may have other names.
        return self.network((images - self.mean) / self.std, None, 'tensor')

    def normalization(self) -> Dict[str, List[float]]:
        """Mean and standard deviation, in the order of the images' channels.
        """
        flips = [self.flip] + [
            isinstance(module, FlipChannels)
            for module in self.front.modules()
        ]
        found = {}
        for name in ('mean', 'std'):
            values = getattr(self, name).flatten().tolist()
            found[name] = values[::-1] if sum(flips) % 2 else values
        return found


def write_programs(model: nn.Module, images: ProgramImages,
                   paths: Sequence[str]) -> Dict[str, ProgramFacts]:
    """Write a network as files that run without MMRazor and MMPretrain.

    Args:
        model (nn.Module): A trained network, or an algorithm around it.
        images (ProgramImages): Images on which the programs are checked.
        paths (Sequence[str]): The files to write; the ending is the format:
            ``*.pt2`` for ``torch.export.load``, ``*.onnx``.

    Returns:
        dict[str, ProgramFacts]: By file.

    Raises:
        ConfigError: If the network cannot be exported, or if a program has
            other logits than the network; nothing is written then.
    """
    model = copy.deepcopy(model).cpu().float().eval()
    preprocessor = model.data_preprocessor
    program = Program(images.front, static_network(model), preprocessor)
    program.eval().requires_grad_(False)
    # As in a test.
    normalized = preprocessor(dict(inputs=list(images.given)))['inputs']
    with torch.no_grad():
        wanted = model(normalized, mode='tensor')
    first = images.taken[0]
    exported = _exported(program, first, images.any_size, paths[0])
    shape = ['N', *first.shape[1:]]
    if images.any_size:
        shape[2:] = 'H', 'W'
    inputs = dict(
        dtype=str(first.dtype).removeprefix('torch.'),
        shape=shape,
        **images.inputs,
        **program.normalization())
    macs, _ = count_macs(program, first[:1])
    params = sum(param.numel() for param in program.parameters())
    files, facts = {}, {}
    for path in paths:
        form = FORMATS[osp.splitext(path)[1][1:]]
        try:
            data = form.save(exported, inputs)
        except ConfigError:
            raise
        except Exception as error:
            raise _cannot(path, error) from error
        run = form.load(data)
        with torch.no_grad():
            found = torch.cat([run(batch) for batch in images.taken])
        error = float((found - wanted).abs().max())
        if not _is_close(found, wanted, program, images.any_size):
            raise ConfigError(f'{path}: the exported network gives other '
                              f'logits (by up to {error:.3g}); nothing is '
                              'written')
        files[path] = data
        facts[path] = ProgramFacts(params, macs, len(data), error, inputs)
    for path, data in files.items():
        with atomic_write(path, 'wb') as file:
            file.write(data)
    return facts


def _exported(program: Program, images: torch.Tensor, any_size: bool,
              path: str) -> torch.export.ExportedProgram:
    """Trace a program, for any number of images."""
    shapes: Dict[int, Any] = {0: torch.export.Dim('batch', min=1)}
    if any_size:
        shapes.update({
            2: torch.export.Dim.DYNAMIC,
            3: torch.export.Dim.DYNAMIC
        })
    # One image would make a program for one.
    images = images.expand(max(2, len(images)), *images.shape[1:])
    try:
        return torch.export.export(
            program, (images, ), dynamic_shapes=dict(images=shapes))
    except Exception as error:
        # PyTorch raises many kinds of errors.
        raise _cannot(path, error) from error


def _cannot(path: str, error: Exception) -> ConfigError:
    reason = str(error).strip().splitlines() or [type(error).__name__]
    return ConfigError(f'{path}: PyTorch cannot export the network: '
                       f'{reason[0]}')


def _is_close(found: torch.Tensor, wanted: torch.Tensor, program: Program,
              resized: bool) -> bool:
    """Whether logits are equal; nearly, if other code resized the images."""
    if not resized:
        return logits_match(found, wanted, program)
    off = (found - wanted).abs()
    return bool(off.mean() <= _RESIZED * wanted.abs().max())


def export_chain(cfg: Config,
                 chain: Chain,
                 only: Optional[str] = None,
                 path: Optional[str] = None,
                 formats: Sequence[str] = ('pt2', ),
                 channels: str = 'RGB',
                 preprocess: bool = False) -> Dict[str, ProgramFacts]:
    """Write the trained networks of a work dir as programs.

    A method may write another file beside it, such as ``<network>_int.pth``.

    Args:
        cfg (Config): The whole config, with ``work_dir``.
        chain (Chain): Its chain.
        only (str, optional): The one network. Defaults to None: all that are
            trained or given.
        path (str, optional): The file to write, of that one.
            Defaults to None: ``<network>.pt2`` in the folder of the network.
        formats (Sequence[str]): Of :data:`FORMATS`, where ``path`` is None.
            Defaults to ``('pt2', )``.
        channels (str): ``'RGB'`` or ``'BGR'``, the order in which a program
            takes the channels of images that are read from files.
            Defaults to ``'RGB'``.
        preprocess (bool): Whether resize and crop of the images are a part of
            the program. Defaults to False.

    Returns:
        dict[str, ProgramFacts]: By file.

    Raises:
        ConfigError: If a network is not trained, or cannot be exported.
    """
    work = WorkDir(cfg, chain)
    names = [only] if only else [
        name for name in chain.names if work.file_of(name)
    ]
    if not names:
        raise ConfigError(f'work_dir: {work.path!r} holds no trained network '
                          'yet')
    facts = {}
    for name in names:
        weights = work.file_of(name)
        if weights is None:
            raise ConfigError(f'work_dir: {work.path!r} has no trained '
                              f'"{name}" yet')
        alone = network_config(cfg, chain[name])
        scope = alone.get('default_scope', 'mmpretrain')
        with DefaultScope.overwrite_default_scope(scope):
            model = MODELS.build(alone.model)
            images = _images_of(alone, channels, preprocess)
        load_weights(
            model, weights, f'chain.networks.{name}.ckpt_path'
            if chain[name].ckpt_path else 'work_dir', chain[name].ckpt_key,
            chain[name].picked, chain[name].model)
        stem = osp.join(work.folder(name), name)
        found = write_programs(
            model, images,
            [path] if path else [f'{stem}.{ending}' for ending in formats])
        first = next(iter(found))
        extras = [
            method.export_extra(model, images.given,
                                f'{osp.splitext(first)[0]}.pt2', chain.save_as)
            for method in METHODS.values()
        ]
        found[first] = replace(
            found[first], extras=tuple(filter(None, extras)))
        facts.update(found)
    return facts


def _images_of(alone: Config, channels: str,
               preprocess: bool) -> ProgramImages:
    """Some images of the test data, and what they are."""
    loader = alone.get('test_dataloader')
    if loader is None:
        raise ConfigError('test_dataloader: is missing; some of its images '
                          'are needed to check the program')
    steps = list(loader.dataset.get('pipeline') or ())
    # OpenCV reads files in the order blue, green, red.
    is_read = 'LoadImageFromFile' in str(loader.dataset)
    front = preprocessing_of(steps) if preprocess else []
    any_size = bool(front)
    try:
        dataset = DATASETS.build(loader.dataset)
        count = min(_IMAGES, len(dataset))
        given = torch.stack([dataset[i]['inputs'] for i in range(count)])
        taken = [given]
        if any_size:
            pipeline = [step for step in steps if is_neutral(step)]
            dataset = DATASETS.build(dict(loader.dataset, pipeline=pipeline))
            taken = [dataset[i]['inputs'][None] for i in range(count)]
    except Exception as error:
        raise ConfigError('test_dataloader.dataset: gives no images of one '
                          f'size ({reason_of(error)})') from None
    order = 'as the data set has them'
    if is_read and given.shape[1] == 3:
        order = channels
        if channels == 'RGB':
            front.append(FlipChannels())
            taken = [images.flip(1) for images in taken]
    names = (getattr(dataset, 'metainfo', None) or {}).get('classes')
    left = [] if any_size else [
        dict(step) for step in steps if not is_neutral(step)
    ]
    return ProgramImages(
        given, taken, nn.Sequential(*front), any_size,
        dict(
            channels=order,
            steps=left,
            classes=[] if names is None else [str(name) for name in names]))
