# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Reading a sample of the data of each stage before any training."""
import json
from dataclasses import dataclass, replace
from typing import Any, Dict, Mapping, Optional, Tuple

from mmengine.config import Config
from mmengine.registry import DATASETS

from mmdgkd.datasets.splits import ImageSet
from mmdgkd.errors import ConfigError
from mmdgkd.models.utils.networks import network_cfg
from mmdgkd.utils.config import find_type, reason_of


@dataclass(frozen=True)
class DataFacts:
    """What is known of the data of a stage.

    Attributes:
        shape (tuple[int], optional): Shape (C, H, W) of an image.
        names (tuple[str]): Names of the classes; empty if its metainfo has
            none.
        samples (int, optional): Length of the training data, less what the
            network of the stage leaves out.
        length (int, optional): With what it leaves out: a logit store has
            rows for these.
        images (ImageSet, optional): Of which images, with a split.
        views (int, optional): How many views there are of a sample in
            training; None: one an epoch.
        batched (bool): Whether the data set returns whole batches.
    """

    shape: Optional[Tuple[int, ...]] = None
    names: Tuple[str, ...] = ()
    samples: Optional[int] = None
    length: Optional[int] = None
    images: Optional[ImageSet] = None
    views: Optional[int] = None
    batched: bool = False

    @property
    def classes(self) -> Optional[int]:
        """Number of classes, None if it is not known."""
        return len(self.names) or None


def build_dataset(cfg: Mapping, known: Dict[str, Any]) -> Any:
    """Build a data set, unless that has been done already.

    Args:
        cfg (Mapping): Its config.
        known (dict): What has been built already; it is added to.
    """
    text = json.dumps(cfg, default=str, sort_keys=True)
    if text not in known:
        known[text] = DATASETS.build(cfg)
    return known[text]


def class_names(stage: Config, known: Dict[str, Any]) -> Tuple[str, ...]:
    """The names of the classes of a stage, of the first data that is there.

    Args:
        stage (Config): Its config.
        known (dict): The data sets that have been built already; it is added
            to.

    Returns:
        tuple[str]: Empty if the metainfo of its data has none.

    Raises:
        ConfigError: If there is none of its data.
    """
    errors = []
    for split in ('val', 'train', 'test'):
        key = f'{split}_dataloader'
        if stage.get(key) is None:
            continue
        cfg = stage[key].get('dataset')
        try:
            names = build_dataset(cfg, known).metainfo.get('classes')
        except Exception as error:
            errors.append(_unreadable(cfg, key, error))
            continue
        if names is not None and len(names):
            return tuple(map(str, names))
    if errors:
        raise errors[0]
    return ()


def check_data(stage: Config, known: Dict[str, Any]) -> DataFacts:
    """Build the data sets of a stage and take a sample of each.

    Other classes for the validation would cause no error, but a metric of
    other classes.

    Args:
        stage (Config): The config of the stage.
        known (dict): The data sets that have been built already; it is added
            to.

    Returns:
        DataFacts: Shape and classes are of the data for validation if there
        is any; without data all is None.

    Raises:
        ConfigError: If the data is not there or cannot be read, or if its
            parts have other classes.
    """
    found = {
        key: _read_data(stage[key].get('dataset'), key, known)
        for key in ('train_dataloader', 'val_dataloader')
        if stage.get(key) is not None
    }
    for key, facts in found.items():
        if facts.batched:
            _check_batched(stage, key)
    train = found.get('train_dataloader', DataFacts())
    other = found.get('val_dataloader', train)
    if train.names and other.names:
        _check_same_names(train.names, other.names)
    return replace(
        other,
        names=other.names or train.names,
        samples=train.samples,
        length=train.length,
        images=train.images,
        views=train.views)


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


def _read_data(cfg: Any, key: str, known: Dict[str, Any]) -> DataFacts:
    try:
        dataset = build_dataset(cfg, known)
        names = dataset.metainfo.get('classes')
        chosen = getattr(dataset, 'chosen', None)
        return DataFacts(
            tuple(dataset[0]['inputs'].shape),
            () if names is None else tuple(map(str, names)),
            len(dataset if chosen is None else chosen), len(dataset),
            getattr(dataset, 'image_set', None),
            getattr(dataset, 'num_views', None),
            hasattr(getattr(dataset, 'dataset', dataset), 'get_batch'))
    except Exception as error:
        raise _unreadable(cfg, key, error) from None


def _unreadable(cfg: Any, key: str, error: Exception) -> ConfigError:
    if isinstance(error, ConfigError):
        return error
    return ConfigError(
        f'{key}.dataset: {reason_of(error)}{_where_to_put(cfg)}')


def _check_batched(stage: Config, key: str) -> None:
    """Check that collate and preprocessor take a batched data set.

    An error of theirs would not tell what would be right.
    """
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
    cfg = dataset_cfg
    if isinstance(cfg, dict) and isinstance(cfg.get('dataset'), dict):
        cfg = cfg['dataset']
    if not (isinstance(cfg, dict) and isinstance(cfg.get('data_root'), str)):
        return ''
    try:
        dataset = find_type(DATASETS, cfg.get('type'))
    except KeyError:  # the reason names it
        return ''
    folder = getattr(dataset, 'base_folder', None)
    if folder is None:
        return ''
    files = [name for name, _ in dataset.train_list + dataset.test_list]
    return (f'; put the official files ({", ".join(files)}, '
            f'{dataset.meta["filename"]}) into '
            f"'{cfg['data_root'].rstrip('/')}/{folder}/', or set data_root to "
            'where they are')
