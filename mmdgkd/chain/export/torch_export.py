# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""A trained network as a program that PyTorch runs alone."""
import copy
import io
import json
import os.path as osp
from dataclasses import dataclass, field, replace
from typing import Any, Dict, Optional, Tuple

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

# The extra file in a program that has what it takes.
INPUTS = 'inputs.json'
# Number of images on which program and network are compared.
_IMAGES = 16


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
            it takes, and the ``classes`` of its logits. Also in the file, as
            :data:`INPUTS`. Defaults to {}.
        extras (tuple): What methods have written beside it, see
            :meth:`Method.export_extra`. Defaults to ().
    """

    params: int
    macs: int
    size: int
    error: float
    inputs: Dict[str, Any] = field(default_factory=dict)
    extras: Tuple[Any, ...] = ()


class Program(nn.Module):
    """From the pixels of the data to logits.

    Args:
        network (nn.Module): A classifier of MMPretrain, see
            :func:`static_network`.
        preprocessor (BaseDataPreprocessor): Its mean and standard deviation
            become a part of the program.
    """

    def __init__(self, network: nn.Module,
                 preprocessor: BaseDataPreprocessor) -> None:
        super().__init__()
        self.network = network
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
            images (torch.Tensor): Shape (N, C, H, W), as the data set gives
                them: its values, and channels in its order.
        """
        images = images.float()
        if self.flip and images.shape[1] == 3:
            images = images.flip(1)
        # By position: the arguments of a traced graph may have other names.
        return self.network((images - self.mean) / self.std, None, 'tensor')


def write_program(model: nn.Module,
                  images: torch.Tensor,
                  path: str,
                  inputs: Optional[Dict[str, Any]] = None) -> ProgramFacts:
    """Write a network as a file that ``torch.export.load`` runs.

    Neither MMRazor nor MMPretrain is needed to run it.

    Args:
        model (nn.Module): A trained network, or an algorithm around it.
        images (torch.Tensor): Some images as the data gives them, shape
            (N, C, H, W), N at least 2. The program takes any number.
        path (str): The file to write, ``*.pt2``.
        inputs (dict, optional): What is known of the images, see
            :class:`ProgramFacts`. Defaults to None.

    Raises:
        ConfigError: If PyTorch cannot export the network, or if the program
            has other logits than the network.
    """
    model = copy.deepcopy(model).cpu().float().eval()
    preprocessor = model.data_preprocessor
    program = Program(static_network(model), preprocessor)
    program.eval().requires_grad_(False)
    # As in a test.
    normalized = preprocessor(dict(inputs=list(images)))['inputs']
    with torch.no_grad():
        wanted = model(normalized, mode='tensor')
    try:
        exported = torch.export.export(
            program, (images, ),
            dynamic_shapes=dict(images={0: torch.export.Dim('batch', min=1)}))
    except Exception as error:
        # PyTorch raises many kinds of errors.
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise ConfigError(f'{path}: PyTorch cannot export the network: '
                          f'{reason[0]}') from error
    buffer = io.BytesIO()
    inputs = dict(
        dtype=str(images.dtype).removeprefix('torch.'),
        shape=['N', *images.shape[1:]],
        **inputs or {})
    torch.export.save(
        exported, buffer, extra_files={INPUTS: json.dumps(inputs)})
    buffer.seek(0)
    with torch.no_grad():
        found = torch.export.load(buffer).module()(images)
    error = (found - wanted).abs().max()
    if not logits_match(found, wanted, program):
        raise ConfigError(f'{path}: the exported network gives other logits '
                          f'(by up to {float(error):.3g}); nothing is written')
    with atomic_write(path, 'wb') as file:
        file.write(buffer.getvalue())
    macs, _ = count_macs(program, images[:1])
    return ProgramFacts(
        sum(param.numel() for param in program.parameters()), macs,
        buffer.getbuffer().nbytes, float(error), inputs)


def export_chain(cfg: Config,
                 chain: Chain,
                 only: Optional[str] = None,
                 path: Optional[str] = None) -> Dict[str, ProgramFacts]:
    """Write the trained networks of a work dir as programs.

    A method may write another file beside it, such as ``<network>_int.pth``.

    Args:
        cfg (Config): The whole config, with ``work_dir``.
        chain (Chain): Its chain.
        only (str, optional): The one network. Defaults to None: all that are
            trained or given.
        path (str, optional): The file to write, of that one.
            Defaults to None: ``<network>.pt2`` in the folder of the network.

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
            images, inputs = _images_of(alone)
        load_weights(
            model, weights, f'chain.networks.{name}.ckpt_path'
            if chain[name].ckpt_path else 'work_dir', chain[name].ckpt_key,
            chain[name].picked, chain[name].model)
        out = path or osp.join(work.folder(name), f'{name}.pt2')
        facts[out] = write_program(model, images, out, inputs)
        extras = [
            method.export_extra(model, images, out, chain.save_as)
            for method in METHODS.values()
        ]
        facts[out] = replace(facts[out], extras=tuple(filter(None, extras)))
    return facts


def _images_of(alone: Config) -> Tuple[torch.Tensor, Dict[str, Any]]:
    """Some images of the test data, as it gives them, and what they are."""
    loader = alone.get('test_dataloader')
    if loader is None:
        raise ConfigError('test_dataloader: is missing; some of its images '
                          'are needed to check the program')
    try:
        dataset = DATASETS.build(loader.dataset)
        count = min(_IMAGES, len(dataset))
        images = torch.stack([dataset[i]['inputs'] for i in range(count)])
    except Exception as error:
        raise ConfigError('test_dataloader.dataset: gives no images of one '
                          f'size ({reason_of(error)})') from None
    # OpenCV reads files in the order blue, green, red.
    is_read = 'LoadImageFromFile' in str(loader.dataset)
    names = (getattr(dataset, 'metainfo', None) or {}).get('classes')
    return images, dict(
        channels='BGR'
        if is_read and images.shape[1] == 3 else 'as the data set has them',
        classes=[] if names is None else [str(name) for name in names])
