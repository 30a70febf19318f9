# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Reading a sample of the data of each stage before any training."""
import json
from dataclasses import dataclass, replace
from typing import Any, Dict, FrozenSet, Optional, Tuple

from mmengine.config import Config
from mmengine.registry import DATASETS
from mmengine.runner import Runner

from mmdgkd.datasets.labels import sample_class
from mmdgkd.errors import ConfigError
from mmdgkd.models.utils.networks import network_cfg
from mmdgkd.utils.config import MISTAKES, find_type, reason_of


@dataclass(frozen=True)
class DataFacts:
    """What is known of the data of a stage.

    Attributes:
        shape (tuple[int], optional): Shape (C, H, W) of an image.
        names (tuple[str]): Names of the classes; empty if its metainfo has
            none.
        samples (int, optional): Length of the training data.
        views (int, optional): How many views there are of a sample in
            training; None: one an epoch.
        batched (bool): Whether the data set returns whole batches.
        sample (DataSample, optional): Of an image of the training data.
        why_no_class (str, optional): Why the class of that image is not known;
            None if it is.
        shapes (frozenset): The shapes of three images.
        dataset (Dataset, optional): The data set itself.
    """

    shape: Optional[Tuple[int, ...]] = None
    names: Tuple[str, ...] = ()
    samples: Optional[int] = None
    views: Optional[int] = None
    batched: bool = False
    sample: Any = None
    why_no_class: Optional[str] = None
    shapes: FrozenSet = frozenset()
    dataset: Any = None

    @property
    def classes(self) -> Optional[int]:
        """Number of classes, None if it is not known."""
        return len(self.names) or None


class _Shared:
    """A data set that is not copied along with the config of its loader."""

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset

    def __deepcopy__(self, memo: Dict) -> '_Shared':
        return self

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: int) -> Any:
        return self._dataset[index]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._dataset, name)


def check_data(stage: Config, known: Dict[str, DataFacts]) -> DataFacts:
    """Build the data sets of a stage and take a sample of each.

    Args:
        stage (Config): The config of the stage.
        known (dict): What has been built already; it is added to.

    Returns:
        DataFacts: Shape and classes are of the data for validation if there
        is any; without data all is None.

    Raises:
        ConfigError: If the data is not there or cannot be read, or its
            loader cannot be built or gives no batch, or if its parts have
            other classes.
    """
    found = {}
    for key in ('train_dataloader', 'val_dataloader'):
        if stage.get(key) is None:
            continue
        loader = stage[key]
        text = json.dumps([loader.get('dataset'), loader.sampler],
                          default=str,
                          sort_keys=True)
        if text not in known:
            known[text] = _read_data(loader, key)
        found[key] = known[text]
        _check_loader(loader, key, found[key])
        if found[key].batched:
            _check_batched(stage, key)
    train = found.get('train_dataloader', DataFacts())
    other = found.get('val_dataloader', train)
    if train.names and other.names:
        _check_same_names(train.names, other.names)
    return replace(
        other,
        names=other.names or train.names,
        samples=train.samples,
        views=train.views,
        sample=train.sample,
        why_no_class=train.why_no_class)


def _check_same_names(train: Tuple[str, ...], other: Tuple[str, ...]) -> None:
    """Check the classes of the data for training and for validation.

    The labels are numbers: with other names, or the same ones in another
    order, the metric would be that of other classes.
    """
    here = 'val_dataloader.dataset'
    if len(train) != len(other):
        raise ConfigError(
            f'{here}: has {len(other)} classes, train_dataloader.dataset has '
            f'{len(train)}; both must have the same')
    for i, (name, mine) in enumerate(zip(train, other)):
        if name != mine:
            raise ConfigError(
                f'{here}: its class {i} is {mine!r}, that of '
                f'train_dataloader.dataset is {name!r}; both must have the '
                'same in the same order; set metainfo=dict(classes=[...])')


def _read_data(loader: Config, key: str) -> DataFacts:
    """Build a data set, and take some samples."""
    cfg = loader.get('dataset')
    try:
        dataset = DATASETS.build(cfg)
        first = dataset[0]
        names = dataset.metainfo.get('classes')
        facts = DataFacts(
            tuple(first['inputs'].shape),
            () if names is None else tuple(map(str, names)), len(dataset),
            getattr(dataset, 'num_views', None),
            hasattr(getattr(dataset, 'dataset', dataset), 'get_batch'),
            first.get('data_samples'), _why_no_class(dataset),
            frozenset(
                tuple(dataset[i]['inputs'].shape)
                for i in (0, len(dataset) // 2, len(dataset) - 1)), dataset)
    except ConfigError:
        raise
    except MISTAKES as error:
        raise ConfigError(
            f'{key}.dataset: {reason_of(error)}{_where_to_put(cfg)}') from None
    return facts


def _check_loader(loader: Config, key: str, facts: DataFacts) -> None:
    """Build the loader, as the Runner will when the stage begins."""
    try:
        built = Runner.build_dataloader(
            dict(loader, dataset=_Shared(facts.dataset)), seed=0)
    except ConfigError:
        raise
    except MISTAKES as error:
        raise ConfigError(f'{key}: {reason_of(error)}') from None
    if not len(built):
        raise ConfigError(
            f'{key}: gives no batch: drop_last leaves out the only one, of '
            f'{len(facts.dataset)} images; set batch_size to that or less, or '
            'drop_last=False')
    collate = str((loader.get('collate_fn') or {}).get('type'))
    if len(facts.shapes) > 1 and collate.split('.')[-1] == 'default_collate':
        raise ConfigError(
            f'{key}.dataset.pipeline: gives images of the shapes '
            f'{", ".join(map(str, sorted(facts.shapes)))}, which do not fit '
            'into one batch; add a transform that resizes or crops them to '
            'one')


def _why_no_class(dataset: Any) -> Optional[str]:
    # Most losses do not need it: without it the stage may still train.
    try:
        sample_class(dataset, 0)
    except ConfigError as error:
        return str(error)
    except MISTAKES as error:
        return f'train_dataloader.dataset: {reason_of(error)}'
    return None


def _check_batched(stage: Config, key: str) -> None:
    """Check that collate and preprocessor take a batched data set."""
    collate = (stage[key].get('collate_fn') or {}).get('type')
    if str(collate).split('.')[-1] not in ('pseudo_collate', 'None'):
        raise ConfigError(
            f'{key}.collate_fn: {collate!r} cannot take the whole batches of '
            "a batched data set; use dict(type='pseudo_collate')")
    model = network_cfg(stage.model)
    kind = (model.get('data_preprocessor') or {}).get('type')
    if str(kind).split('.')[-1] != 'BatchedDataPreprocessor':
        raise ConfigError(
            f'data_preprocessor.type: {kind!r} cannot take the whole batches '
            f"of {key}'s batched data set; use type='BatchedDataPreprocessor'")


def _where_to_put(dataset_cfg: Any) -> str:
    """For a data set of the CIFAR family the files that it looks for."""
    cfg = dataset_cfg if isinstance(dataset_cfg, dict) else {}
    cfg = cfg.get('dataset') or cfg
    if not cfg.get('data_root'):
        return ''
    dataset = find_type(DATASETS, cfg.get('type'))
    folder = getattr(dataset, 'base_folder', None)
    if folder is None:
        return ''
    files = [name for name, _ in dataset.train_list + dataset.test_list]
    return (f'; put the official files ({", ".join(files)}, '
            f'{dataset.meta["filename"]}) into '
            f"'{cfg['data_root'].rstrip('/')}/{folder}/', or set data_root to "
            'where they are')
