# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""How large a chain's logit store gets, and which settings fit the disk."""
import glob
import math
import os
import os.path as osp
import shutil
import sys
from dataclasses import dataclass
from typing import (Any, Dict, Iterable, Iterator, List, Mapping, Optional,
                    Tuple)

from mmengine.config import Config
from mmengine.dist import broadcast_object_list, get_world_size

from mmdgkd.errors import ConfigError
from mmdgkd.fileio.disk_files import RESERVE
from mmdgkd.fileio.object_folder import is_local
from mmdgkd.logit_store.encoding import RowForm
from mmdgkd.logit_store.piece import SUFFIX, store_bytes
from mmdgkd.models.distillers.ensembles import Ensembles
from mmdgkd.utils.config import hash_of, type_of, typed_parts
from mmdgkd.utils.table import draw_table
from .chain import Chain
from .network import NetworkFacts
from .stage_config import store_dir

# With fewer logits of a row little is left of a distribution.
_LEAST_TOP_K = 5


@dataclass(frozen=True)
class Setting:
    """A setting of the logit store, and what it costs.

    Attributes:
        options (dict[str, Any]): What differs from the config, by
            dotted key.
        sizes (dict[str, int]): Bytes of each teacher's rows.
        passes (int): How often teachers run on all training images, in all.
        operations (float): Those of the chain, as a share of those that it
            has without a store.
    """

    options: Dict[str, Any]
    sizes: Dict[str, int]
    passes: int
    operations: float

    @property
    def total(self) -> int:
        """Bytes of all teachers."""
        return sum(self.sizes.values())

    def __str__(self) -> str:
        return ' '.join(f'{key}={value}'
                        for key, value in self.options.items())


@dataclass(frozen=True)
class _Stage:
    """What the store caches of a stage."""

    teachers: Tuple[str, ...]
    recipe: str
    classes: int
    samples: int
    length: int
    epochs: int
    views: int


class StoreSize:
    """The size of a chain's logit store, as a function of its settings.

    Args:
        chain (Chain): The chain; it has a store.
        facts (Mapping[str, NetworkFacts]): What is known of its networks.
        stages (Mapping[str, Config]): The config of each stage.
        work_dir (str): The work dir.

    Attributes:
        folder (str): Where the store is, or will be.
        stages (list): The stages that it caches logits for; empty if no
            network has teachers, or the data is not known.
    """

    def __init__(self, chain: Chain, facts: Mapping[str, NetworkFacts],
                 stages: Mapping[str, Config], work_dir: str) -> None:
        self.folder = store_dir(chain, work_dir)
        self._dtype = chain.logit_store.get('dtype', 'float16')
        self._top_k = chain.logit_store.get('top_k')
        # An even rest makes a teacher flat above tau = 1.
        self._with_top_k = {
            'chain.logit_store.others': 'zero'
        } if ('others' not in chain.logit_store
              and any(map(_is_softened, stages.values()))
              and not any(map(_uses_logits, stages.values()))) else {}
        self._macs = {name: facts[name].macs or 1 for name in chain.names}
        self.stages: List[_Stage] = []
        # Forward, and twice that backward.
        self._students = 0
        for name in chain.names:
            fact = facts[name]
            if (chain[name].ckpt_path or chain[name].part_of
                    or None in (fact.samples, fact.length, fact.classes)):
                continue
            epochs = _epochs(stages[name], fact.samples)
            own = fact.step_macs or self._macs[name]
            self._students += 3 * own * epochs
            if chain.teachers[name]:
                loader = stages[name].get('train_dataloader') or {}
                dataset = dict(loader.get('dataset') or {})
                if not dataset.get('mix'):
                    # The views of all folds are the same.
                    dataset.pop('split', None)
                recipe = hash_of(dataset)
                self.stages.append(
                    _Stage(chain.teachers[name], recipe, fact.classes,
                           fact.samples, fact.length, epochs,
                           min(fact.views or epochs, epochs)))

    def __str__(self) -> str:
        """Such as ``logits, float16, 64 images x 2 views: 0.1 MB a ...``."""
        sizes = self.at().sizes
        top = f', top {self._top_k}' if self._top_k else ''
        notes = sorted({
            f'{stage.samples:,} images x {stage.views} '
            f'{"views" if stage.views > 1 else "view"}'
            for stage in self.stages
        })
        return (f'{self.folder}, {self._dtype}{top}, {", ".join(notes)}: '
                f'{format_bytes(max(sizes.values()))} a teacher, {len(sizes)} '
                f'of them, {format_bytes(self.at().total)} in all')

    def at(self, **options: Optional[int]) -> Setting:
        """The size and cost with other settings.

        Args:
            **options: ``top_k`` and ``num_views``; by default as in the
                config.
        """
        top_k = options.get('top_k', self._top_k)
        # Of the rows for each recipe of views a teacher has a file.
        files: Dict[Tuple[str, str], int] = {}
        views: Dict[Tuple[str, str], int] = {}
        for stage in self.stages:
            count = min(stage.views, options.get('num_views') or stage.views)
            form = RowForm(stage.classes, self._dtype, top_k)
            size = store_bytes(form, count, stage.length)
            for name in stage.teachers:
                file = name, stage.recipe
                files[file] = max(size, files.get(file, 0))
                views[file] = max(count, views.get(file, 0))
        sizes: Dict[str, int] = {}
        for (name, _), size in files.items():
            sizes[name] = sizes.get(name, 0) + size
        keys = dict(
            top_k='chain.logit_store.top_k', num_views='chain.views.num_views')
        changed: Dict[str, Any] = {
            keys[key]: value
            for key, value in options.items()
        }
        if 'top_k' in options:
            changed.update(self._with_top_k)
        return Setting(changed, sizes, sum(views.values()), self._share(views))

    def without(self) -> Setting:
        """The cost without a store: all teachers of a stage run in it."""
        passes = sum(
            len(stage.teachers) * stage.epochs for stage in self.stages)
        return Setting({'chain.logit_store': None}, {}, passes, 1.)

    def _share(self, views: Mapping[Tuple[str, str], int]) -> float:
        cached = sum(self._macs[name] * count
                     for (name, _), count in views.items())
        live = sum(self._macs[name] * stage.epochs for stage in self.stages
                   for name in stage.teachers)
        return (self._students + cached) / (self._students + live)

    def room(self) -> int:
        """Bytes that the store can grow to.

        The files that are there count as its own, which they need not be: no
        more is possible, perhaps less. The last of a disk it leaves free.
        """
        if not is_local(self.folder):
            return sys.maxsize
        folder = osp.abspath(self.folder)
        while not osp.exists(folder):
            folder = osp.dirname(folder)
        disk = shutil.disk_usage(folder)
        there = sum(
            os.stat(path).st_blocks * 512 for path in glob.glob(
                osp.join(glob.escape(self.folder), '*', f'*{SUFFIX}')))
        return max(0, disk.free + there - min(RESERVE, disk.total // 20))

    def settings_within(self, room: int) -> List[Setting]:
        """Settings that fit: of ``top_k``, of ``num_views``, and of both.

        The largest ``top_k`` of 5, 10, 20, 50, ... for all views; the most
        views of whole rows; and between the two a larger ``top_k`` for fewer
        views. One that does not exist is left out.

        Args:
            room (int): Bytes.
        """
        now, most = self.at(), max(stage.views for stage in self.stages)
        classes = max(stage.classes for stage in self.stages)
        # Where there are few classes the largest with their numbers take as
        # much as all.
        top_ks = [
            top_k for top_k in _round_numbers(self._top_k or classes)
            if self.at(top_k=top_k).total < now.total
        ]
        few = int(most / math.sqrt(now.total / room)) if room else 0

        def first(settings: Iterable[Setting]) -> List[Setting]:
            return [each for each in settings if each.total <= room][:1]

        rows = first(self.at(top_k=top_k) for top_k in top_ks)
        views = first(
            self.at(num_views=views) for views in range(most - 1, 0, -1))
        larger = [
            top_k for top_k in top_ks
            if not rows or top_k > rows[0].options['chain.logit_store.top_k']
        ]
        # Fewer still, where even those with the smallest rows are too many.
        both = first(
            self.at(top_k=top_k, num_views=views)
            for views in range(min(few, most - 1), 0, -1) for top_k in larger)
        return [*rows, *views, *both]


def _is_softened(stage: Mapping[str, Any]) -> bool:
    """Whether a loss of a stage has teachers at a temperature above 1."""
    distiller = (stage.get('model') or {}).get('distiller') or {}
    return any(
        loss.get('tau', 1) > 1
        for loss in (distiller.get('distill_losses') or {}).values())


def _uses_logits(stage: Mapping[str, Any]) -> bool:
    """Whether a stage needs some logit of each class.

    As ``MultiTeacherDistiller.by_logits`` says it once it is built.
    """
    model = stage.get('model') or {}
    distiller = model.get('distiller') or {}
    together = Ensembles(
        distiller.get('ensembles'), [*(model.get('teachers') or ())])
    losses = (distiller.get('distill_losses') or {}).values()
    return any(
        type_of(part) == 'StandardizeConnector'
        for part in typed_parts(distiller.get('connectors'))) or any(
            each.mean == 'logits' for each in together.all.values()) or any(
                loss.get('form') == 'stacked' or loss.get('gate')
                for loss in losses)


def excess_lines(size: StoreSize) -> str:
    """A warning if a store does not fit its disk, with what would.

    Args:
        size (StoreSize): The size of the store.

    Returns:
        str: Empty if it fits.
    """
    room, now = size.room(), size.at()
    if now.total <= room:
        return ''
    rows = [('as it is', now)]
    rows += [(str(each), each) for each in size.settings_within(room)]
    rows += [(str(size.without()), size.without())]
    table = draw_table(
        ('setting', 'a teacher', 'in all', 'teacher passes', 'operations'),
        [(name, format_bytes(max(each.sizes.values(), default=0)),
          format_bytes(each.total), each.passes, f'{each.operations:.0%}')
         for name, each in rows])
    return (f'warning: chain.logit_store: {format_bytes(now.total)} are more '
            f'than the {format_bytes(room)} that there is room for. A chain '
            'that begins is refused; one that has begun computes what does '
            f'not fit in each stage. These fit:\n{table}')


def refuse_excess(size: Optional[StoreSize]) -> None:
    """Refuse a store that cannot fit its disk.

    Args:
        size (StoreSize, optional): Its size; None without a store.

    Raises:
        ConfigError: If it cannot; on all ranks, if on the first one.
    """
    if size is None or not size.stages:
        return
    room, total = size.room(), size.at().total
    # The disks of other machines may have room, but the ranks go together.
    excess = [total > room]
    broadcast_object_list(excess)
    if excess[0]:
        fit = [*map(str, size.settings_within(room)), str(size.without())]
        raise ConfigError(
            f'chain.logit_store: needs {format_bytes(total)}, but there is '
            f'room for {format_bytes(room)} in {size.folder!r}; set '
            f'{", or ".join(fit)} (--dry-run compares them), or another '
            'chain.logit_store.store_dir')


def format_bytes(size: int) -> str:
    """Such as ``1.7 GB``.

    Args:
        size (int): Bytes.
    """
    if size >= 10**9:
        return f'{size / 1e9:.1f} GB'
    return f'{size / 1e6:.1f} MB'


def _round_numbers(limit: int) -> Iterator[int]:
    """1, 2, 5, 10, ... below a limit, from the largest on."""
    for power in range(len(str(limit)), -1, -1):
        for digit in (5, 2, 1):
            if _LEAST_TOP_K <= digit * 10**power < limit:
                yield digit * 10**power


def _epochs(stage: Config, samples: int) -> int:
    train_cfg = stage.get('train_cfg') or {}
    if train_cfg.get('max_epochs'):
        return train_cfg['max_epochs']
    batch = stage.train_dataloader.get('batch_size', 1) * get_world_size()
    return max(1, -(-train_cfg.get('max_iters', 1) * batch // samples))
