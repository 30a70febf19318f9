# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The logits of trained networks on held-out images, computed once."""
import copy
import os.path as osp
import tempfile
from dataclasses import dataclass
from logging.handlers import MemoryHandler
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import DefaultScope

from mmdgkd.chain.chain import Chain, Network
from mmdgkd.chain.console import QuietRunner, upstream_logged
from mmdgkd.chain.evaluate import run_network
from mmdgkd.chain.ledger import file_entry
from mmdgkd.chain.preflight.data_check import build_dataset
from mmdgkd.chain.split_checks import check_held_out
from mmdgkd.chain.stage_config import network_config
from mmdgkd.chain.work_dir import WorkDir
from mmdgkd.datasets.identity import content_key
from mmdgkd.datasets.splits import ImageSet
from mmdgkd.engine.hooks.predictions_hook import data_key
from mmdgkd.errors import ConfigError
from mmdgkd.fileio.checkpoint import meta_of
from mmdgkd.fileio.files import can_write
from mmdgkd.fileio.npz import read_arrays, write_arrays
from mmdgkd.models.teachers.teacher_input import NORMALIZATION, TeacherInput
from mmdgkd.models.utils.heads import activation_of
from mmdgkd.models.utils.networks import network_cfg, network_of, unwrapped
from mmdgkd.utils.config import hash_of, reason_of
from mmdgkd.utils.random import aside

FILE = 'held_out.npz'
_NAMES = ('log_probs', 'labels', 'key')
# The logarithm of the least probability that float32 has; a softmax may be 0.
_LEAST = -103.0


@dataclass
class HeldOutLogits:
    """The logits of several networks for N images.

    Attributes:
        logits (dict[str, np.ndarray]): Of each network, float32 of shape
            (N, C): log-probabilities, its logits up to a constant per image.
        labels (np.ndarray): The classes, int64 of shape (N, ).
        computed (list[str]): The networks that were run.
        cached (list[str]): Those that were not.
        without_class (int): How many more images have none (a negative label,
            as the losses leave out).
    """

    logits: Dict[str, np.ndarray]
    labels: np.ndarray
    computed: List[str]
    cached: List[str]
    without_class: int = 0


class _ScoresHook(Hook):
    """Keeps the log-probabilities and the labels of a test.

    Args:
        key (str): The config key of the network, for messages.
        own_input (dict, optional): Its ``input``, by which it gets its images
            as in a stage that it teaches. Defaults to None: as they are.
    """

    def __init__(self, key: str, own_input: Optional[Mapping] = None) -> None:
        self.key = key
        self.own_input = own_input
        self.log_probs: List[np.ndarray] = []
        self.labels: List[int] = []

    def before_test(self, runner: Any) -> None:
        """Have a network see its images; refuse one that has no softmax."""
        if activation_of(network_of(unwrapped(runner.model))) == 'sigmoid':
            raise ConfigError(
                f'{self.key}.model: the labels of its head do not exclude each'
                ' other; only heads by softmax, with one label an image, can '
                'be weighed')
        if self.own_input:
            given = network_cfg(runner.cfg.model).get('data_preprocessor')
            given = {key: (given or {}).get(key) for key in NORMALIZATION}
            convert = TeacherInput(**{**given, **self.own_input}, given=given)
            unwrapped(runner.model).data_preprocessor.register_forward_hook(
                lambda _, __, batch: dict(
                    batch, inputs=convert(batch['inputs'])))

    def after_test_iter(self,
                        runner: Any,
                        batch_idx: int,
                        data_batch: Any = None,
                        outputs: Optional[Sequence] = None) -> None:
        """Read the outputs of a batch."""
        for sample in outputs or ():
            if getattr(sample, 'pred_score', None) is None:
                raise ConfigError(f'{self.key}.model: gives no scores of '
                                  'classes; it must be a classifier')
            if sample.gt_label.numel() != 1:
                raise ConfigError(f'{self.key}.model: its images have several '
                                  'labels each; only images with one label '
                                  'can be weighed')
            self.log_probs.append(
                sample.pred_score.float().log().clamp(min=_LEAST).cpu())
            self.labels.append(int(sample.gt_label))

    def arrays(self) -> Dict[str, np.ndarray]:
        """What was kept, as arrays."""
        return dict(
            log_probs=torch.stack(self.log_probs).numpy(),
            labels=np.array(self.labels, np.int64))


def held_out_logits(cfg: Config, chain: Chain, work: WorkDir,
                    names: Sequence[str],
                    loader: Mapping[str, Any]) -> HeldOutLogits:
    """The logits of networks, by running those whose logits are not cached.

    They are cached in ``<work_dir>/<network>/held_out.npz``, with a key of the
    weights, of the network and of the data and its content: a stale or damaged
    file is written again.

    Args:
        cfg (Config): The whole config.
        chain (Chain): Its chain.
        work (WorkDir): Its work dir.
        names (Sequence[str]): The networks.
        loader (Mapping): The config of a data loader, in the same order each
            time.

    Raises:
        ConfigError: If a network is not trained yet, was trained on other
            images than those of which these are held out, or is no classifier
            by softmax with one label an image, if a file does not fit, or if
            the images cannot be read.
    """
    files = {}
    for name in names:
        path = work.file_of(name)
        if path is None:
            raise ConfigError(
                f'work_dir: {work.path!r} has no trained "{name}" yet; train '
                'it, or leave it out by --teachers')
        files[name] = path
    if not osp.isdir(work.path):
        # All teachers are given, and nothing is trained yet.
        work.make()
    content, images = _content_of(cfg, loader['dataset'])
    for name, path in files.items():
        check_held_out(meta_of(path, 'work_dir'), images, path)
    parts, cached = {}, []
    with upstream_logged(MemoryHandler(10**6)):
        for name, path in files.items():
            key = _key(cfg, chain[name], path, work, loader) + content
            own = osp.join(work.folder(name), FILE)
            found = _read(own, key)
            if found is not None:
                cached.append(name)
            else:
                found = _run(cfg, chain[name], path, loader)
                if can_write(work.path):
                    write_arrays(own, dict(found, key=key), np.savez)
            parts[name] = found
    first = parts[names[0]]
    for name, part in parts.items():
        if (part['log_probs'].shape != first['log_probs'].shape
                or not np.array_equal(part['labels'], first['labels'])):
            raise ConfigError(
                f'chain.networks.{name}: has other classes, or images in '
                f'another order, than "{names[0]}"; all need the same')
    labelled = first['labels'] >= 0
    return HeldOutLogits(
        {
            name: part['log_probs'][labelled]
            for name, part in parts.items()
        }, first['labels'][labelled],
        [name for name in names if name not in cached], cached,
        int(np.sum(~labelled)))


def _key(cfg: Config, network: Network, path: str, work: WorkDir,
         loader: Mapping[str, Any]) -> str:
    """What the logits depend on, beside the content of the data."""
    weights = file_entry(path, work.path)
    return hash_of([
        weights['sha256'] or path,
        network.ckpt_key,
        network.picked,
        network.input,
        # With its data preprocessor.
        network_config(cfg, network).model,
        data_key(loader['dataset'])
    ])


def _content_of(cfg: Config,
                dataset: Mapping[str, Any]) -> Tuple[str, Optional[ImageSet]]:
    """A hash of the images and labels, or of the state of their files.

    And of which training images they are held out.
    """
    scope = cfg.get('default_scope') or 'mmpretrain'
    try:
        with aside(), DefaultScope.overwrite_default_scope(scope):
            built = build_dataset(copy.deepcopy(dataset), {})
            return content_key(built), getattr(built, 'image_set', None)
    except ConfigError:
        raise
    # A data set may fail with anything.
    except Exception as error:
        raise ConfigError('chain.holdout: the images cannot be read '
                          f'({reason_of(error)})') from None


def _read(path: str, key: str) -> Optional[Dict[str, np.ndarray]]:
    """The cached logits; None if there are none of this key."""
    try:
        found = read_arrays(path, _NAMES)
    except ValueError:
        return None
    return found if found and str(found['key']) == key else None


def _run(cfg: Config, network: Network, path: str,
         loader: Mapping[str, Any]) -> Dict[str, np.ndarray]:
    scores = _ScoresHook(f'chain.networks.{network.name}', network.input)
    with tempfile.TemporaryDirectory(prefix='mmdgkd_weigh_') as folder:
        run_network(cfg, network, path, folder, loader, QuietRunner, [scores])
    return scores.arrays()
