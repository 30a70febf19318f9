# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import os.path as osp
from typing import Any, Dict, List

from mmengine.fileio import exists, join_path, list_from_file
from mmpretrain.datasets import CustomDataset
from mmpretrain.datasets.custom import get_samples
from mmpretrain.registry import DATASETS

_URL = 'http://cs231n.stanford.edu/tiny-imagenet-200.zip'


@DATASETS.register_module()
class TinyImageNet(CustomDataset):
    """200 classes of ImageNet, 500 images of 64x64 pixels each.

    The data set of Stanford's course CS231n, as its archive unpacks; 50 more
    images of each class are for validation, by which methods are compared (the
    labels of the test images are not public). Training images are in a folder
    a class, which MMPretrain's ``CustomDataset`` reads. Validation images are
    in one folder with a table, as in the archive, or in a folder a class, as
    many scripts sort them.

    Args:
        data_root (str): The folder ``tiny-imagenet-200``.
        split (str): ``'train'`` or ``'val'``. Defaults to ``'train'``.
        **kwargs: As for MMPretrain's ``BaseDataset``.

    Raises:
        ValueError: For another split, or an image of an unknown class.
        FileNotFoundError: If ``wnids.txt`` or the images are absent.
    """

    def __init__(self,
                 data_root: str,
                 split: str = 'train',
                 **kwargs: Any) -> None:
        if split not in ('train', 'val'):
            raise ValueError(f"TinyImageNet.split: {split!r} is neither "
                             "'train' nor 'val'")
        self.split = split
        wanted = [join_path(data_root, name) for name in ('wnids.txt', split)]
        for path in wanted:
            if not exists(path):
                raise FileNotFoundError(
                    f'{path}: is absent; unpack {_URL}, or set data_root to '
                    'the folder tiny-imagenet-200')
        classes = sorted(line.strip() for line in list_from_file(wanted[0])
                         if line.strip())
        kwargs['metainfo'] = dict(
            dict(classes=classes),
            **kwargs.get('metainfo') or {})
        super().__init__(data_root=data_root, data_prefix=split, **kwargs)

    def load_data_list(self) -> List[Dict]:
        """Find the images, each as ``img_path`` with its ``gt_label``."""
        if self.split == 'train':
            return super().load_data_list()
        images = join_path(self.img_prefix, 'images')
        for folder in (self.img_prefix, images):
            # A script may leave the table: look for folders first.
            if exists(join_path(folder, self.CLASSES[0])):
                return [
                    dict(img_path=join_path(folder, path),
                         gt_label=label) for path, label in get_samples(
                             folder, self.class_to_idx, self.is_valid_file)[0]
                ]
        return self._read_table(images)

    def _read_table(self, images: str) -> List[Dict]:
        table = join_path(self.img_prefix, 'val_annotations.txt')
        if not exists(table):
            raise FileNotFoundError(
                f'{table}: is absent, and so are folders of the classes; '
                f'unpack {_URL} again')
        labels, data_list = self.class_to_idx, []
        for number, line in enumerate(list_from_file(table), 1):
            if not line.strip():
                continue
            name, wnid = line.split()[:2]
            if wnid not in labels:
                raise ValueError(f'{table}: line {number}: {wnid!r} is not in '
                                 f'{osp.join(self.data_root, "wnids.txt")}')
            data_list.append(
                dict(img_path=join_path(images, name), gt_label=labels[wnid]))
        return data_list
