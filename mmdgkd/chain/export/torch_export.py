# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""A trained network as a program that runs without this project."""
import copy
import os.path as osp
from dataclasses import dataclass, replace
from typing import Any, Dict, List, Optional, Sequence, Tuple

import torch
from mmengine.config import Config
from mmengine.model import BaseDataPreprocessor
from mmengine.registry import MODELS, DefaultScope
from torch import nn
from torch.export import Dim, ExportedProgram

from mmdgkd.chain.chain import Chain, Network
from mmdgkd.chain.ledger import file_entry
from mmdgkd.chain.method import METHODS
from mmdgkd.chain.network import count_macs
from mmdgkd.chain.stage_config import network_config
from mmdgkd.chain.work_dir import WorkDir
from mmdgkd.errors import ConfigError
from mmdgkd.fileio.files import atomic_write, can_write
from mmdgkd.fileio.programs import Latency, ProgramRecord, add_programs
from mmdgkd.models.utils.networks import static_network
from mmdgkd.models.utils.weights import load_weights
from mmdgkd.utils.config import reason_of
from mmdgkd.utils.same_logits import logits_match
from .formats import FORMATS, Format, format_of, require_torch
from .latency import measure_latency
from .preprocessing import FlipChannels
from .program_images import ProgramImages, program_images

# The mean difference of a logit, as a share of its deviation, where
# images are resized by other code than that of the data: pixels differ by one
# of 256 levels, with a wrong order of channels or size by far more.
_RESIZED = 0.05
# The oldest PyTorch that exports a program for images of any size.
_ANY_SIZE = '2.8'


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
            it takes, the ``steps`` of the data's pipeline that come before
            it, ``mean`` and ``std`` by which it normalizes, in the
            order of ``channels``, and the ``classes`` of its logits; where
            a format has a limit, how many images it takes ``at_once``. Also
            in the file.
        latency (Latency, optional): Defaults to None: not measured.
        extras (tuple): What methods have written beside it, see
            :meth:`Method.export_extra`. Defaults to ().
    """

    params: int
    macs: int
    size: int
    error: float
    inputs: Dict[str, Any]
    latency: Optional[Latency] = None
    extras: Tuple[Any, ...] = ()


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


def write_programs(model: nn.Module,
                   images: ProgramImages,
                   paths: Sequence[str],
                   latency: bool = False) -> Dict[str, ProgramFacts]:
    """Write a network as files that run without MMRazor and MMPretrain.

    Args:
        model (nn.Module): A trained network, or an algorithm around it.
        images (ProgramImages): Images on which the programs are checked.
        paths (Sequence[str]): The files to write; the ending is the format:
            ``*.pt2`` for ``torch.export.load``, ``*.onnx`` or ``*.pte``.
        latency (bool): Whether to measure how long they take.
            Defaults to False.

    Returns:
        dict[str, ProgramFacts]: By file.

    Raises:
        ConfigError: If the network cannot be exported, or if a program has
            other logits than the network; nothing is written then.
    """
    forms = {path: format_of(path) for path in paths}
    for path, form in forms.items():
        if images.any_size and not form.edge:
            raise ConfigError(
                f'--preprocess: a *.{form.ending} has a plan of its memory, '
                'for images of one size; leave it out, and resize before')
    if images.any_size:
        # Before, torch.export knows no sizes that depend on an image.
        require_torch(_ANY_SIZE, '--preprocess')
    model = copy.deepcopy(model).cpu().float().eval()
    program = Program(images.front, static_network(model),
                      model.data_preprocessor)
    program.eval().requires_grad_(False)
    wanted, own = _logits_of(model, program, images)
    first = images.taken[0]
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
    for path, form in forms.items():
        takes = inputs | (dict(at_once=form.at_once) if form.at_once else {})
        try:
            data = form.save(_exported(program, images, form), takes)
            found = _run(form, data, images.taken)
        except Exception as error:
            # Exporters raise many kinds of errors, some with advice; the
            # reason is their cause.
            raise ConfigError(
                f'{path}: the network cannot be exported: '
                f'{reason_of(error.__cause__ or error)}') from error
        error = float((found - wanted).abs().max())
        if not logits_match(found, own, program):
            raise ConfigError(f'{path}: the exported network gives other '
                              f'logits (by up to {error:.3g}); nothing is '
                              'written')
        files[path] = data
        facts[path] = ProgramFacts(
            params, macs, len(data), error, takes,
            measure_latency(lambda: form.load(data), first[:1])
            if latency else None)
    for path, data in files.items():
        with atomic_write(path, 'wb') as file:
            file.write(data)
    return facts


def _logits_of(model: nn.Module, program: Program,
               images: ProgramImages) -> Tuple[torch.Tensor, torch.Tensor]:
    """Those of the network, as in a test, and those of its program.

    Raises:
        ConfigError: If the program resizes images otherwise than the data.
    """
    normalized = model.data_preprocessor(
        dict(inputs=list(images.given)))['inputs']
    with torch.no_grad():
        wanted = model(normalized, mode='tensor')
        if not images.any_size:
            return wanted, wanted
        own = torch.cat([program(batch) for batch in images.taken])
    off = (own - wanted).abs().mean()
    # Over the images, where there are several: classes differ by constants.
    spread = wanted.std(0).mean() if len(wanted) > 1 else wanted.std()
    if not off <= _RESIZED * spread:
        raise ConfigError('--preprocess: images that the program resizes have '
                          f'other logits (by {float(off):.3g} on average); '
                          'leave it out')
    return wanted, own


def _exported(program: Program, images: ProgramImages,
              form: Format) -> ExportedProgram:
    """Trace a program, for as many images at once as a format may have."""
    shapes: Dict[int, Any] = {0: Dim('batch', min=1, max=form.at_once)}
    if images.any_size:
        shapes.update({
            2: Dim('height', min=1, max=form.edge),
            3: Dim('width', min=1, max=form.edge)
        })
    # One image would make a program for one.
    first = images.taken[0][:1].repeat(2, 1, 1, 1)
    exported = torch.export.export(
        program, (first, ), dynamic_shapes=dict(images=shapes))
    for node in exported.graph.nodes:
        # The lines of the source, with the paths of this machine: half of the
        # file of a small network.
        node.meta.pop('stack_trace', None)
        node.meta.pop('nn_module_stack', None)
    return exported


def _run(form: Format, data: bytes,
         images: Sequence[torch.Tensor]) -> torch.Tensor:
    """The logits that a program gives, of all images."""
    run = form.load(data)
    with torch.no_grad():
        return torch.cat([
            run(some) for batch in images
            for some in batch.split(form.at_once or len(batch))
        ])


def export_chain(cfg: Config,
                 chain: Chain,
                 only: Optional[str] = None,
                 path: Optional[str] = None,
                 formats: Sequence[str] = ('pt2', ),
                 channels: str = 'RGB',
                 preprocess: bool = False,
                 latency: bool = False) -> Dict[str, ProgramFacts]:
    """Write the trained networks of a work dir as programs.

    A method may write another file beside it, such as ``<network>_int.pth``.
    What is known of the programs goes into ``programs.json`` in the folder of
    the network, for reports.

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
        latency (bool): Whether to measure how long the programs take, for one
            image by one thread. Defaults to False.

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
        model, images = _loaded(cfg, work, chain[name], channels, preprocess)
        folder = work.folder(name)
        found = write_programs(model, images, [path] if path else [
            osp.join(folder, f'{name}.{FORMATS[form].ending}')
            for form in formats
        ], latency)
        first = next(iter(found))
        extras = [
            method.export_extra(model, images.given, first, chain.save_as)
            for method in METHODS.values()
        ]
        found[first] = replace(
            found[first], extras=tuple(filter(None, extras)))
        _record(folder, found, file_entry(work.file_of(name), work.path))
        facts.update(found)
    return facts


def _loaded(cfg: Config, work: WorkDir, network: Network, channels: str,
            preprocess: bool) -> Tuple[nn.Module, ProgramImages]:
    """A trained network, and images for its programs."""
    weights = work.file_of(network.name)
    if weights is None:
        raise ConfigError(f'work_dir: {work.path!r} has no trained '
                          f'"{network.name}" yet')
    alone = network_config(cfg, network)
    scope = alone.get('default_scope', 'mmpretrain')
    with DefaultScope.overwrite_default_scope(scope):
        model = MODELS.build(alone.model)
        images = program_images(alone, channels, preprocess)
    load_weights(
        model, weights, f'chain.networks.{network.name}.ckpt_path'
        if network.ckpt_path else 'work_dir', network.ckpt_key, network.picked,
        network.model)
    return model, images


def _record(folder: str, facts: Dict[str, ProgramFacts],
            entry: Dict[str, Optional[str]]) -> None:
    """Note the programs in the folder of their network, if it may be written.
    """
    if not can_write(folder):
        return
    names = {form.ending: name for name, form in FORMATS.items()}
    add_programs(
        folder, {
            osp.relpath(path, folder):
            ProgramRecord(names[osp.splitext(path)[1][1:]],
                          fact.size, fact.error,
                          str(entry['sha256'] or entry['file']), fact.latency)
            for path, fact in facts.items()
        })
