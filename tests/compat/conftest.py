# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import pytest
import torch
from mmengine.dataset import default_collate
from mmengine.runner import Runner
from mmpretrain.structures import DataSample
from torch.utils.data import DataLoader, Dataset


class Samples(Dataset):
    """Twelve images of four classes, of 3, 3, 2 and 4 images."""

    metainfo = {}

    def __len__(self):
        return 12

    def __getitem__(self, index):
        generator = torch.Generator().manual_seed(index)
        return dict(
            inputs=torch.randn(3, 8, 8, generator=generator),
            data_samples=DataSample().set_gt_label(min(index % 5, 3)))


@pytest.fixture
def loader():
    """Batches of four samples."""
    return DataLoader(Samples(), 4, collate_fn=default_collate)


@pytest.fixture
def runner(tmp_path, loader):
    """A Runner of MMEngine itself, of a model on those samples."""

    def build(model, **loops):
        return Runner(
            model=model,
            work_dir=str(tmp_path),
            train_dataloader=loader,
            val_dataloader=loader,
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
            experiment_name=str(tmp_path),
            default_scope='mmpretrain',
            randomness=dict(seed=0),
            log_level='ERROR',
            **{
                'val_evaluator': dict(type='Accuracy', topk=(1, )),
                'val_cfg': {},
                **loops
            })

    return build


@pytest.fixture
def preprocessor():
    """The config of a data preprocessor that changes nothing."""
    return dict(
        type='mmpretrain.ClsDataPreprocessor',
        mean=[0.] * 3,
        std=[1.] * 3,
        num_classes=4)
