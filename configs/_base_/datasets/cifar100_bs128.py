# CIFAR-100 with 4-pixel pad-and-crop and horizontal flip, a batch at a time.
# For other transforms use type='CIFAR100' and num_workers=2.
dataset_type = 'BatchedCIFAR100'
data_root = 'data/cifar100'
# The mean and standard deviation of the released DGKD code, times 255.
data_preprocessor = dict(
    type='BatchedDataPreprocessor',
    num_classes=100,
    mean=[129.285, 124.185, 112.455],
    std=[68.085, 65.28, 70.38],
    to_rgb=False)

train_pipeline = [
    dict(type='RandomCrop', crop_size=32, padding=4),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='PackInputs')
]
test_pipeline = [dict(type='PackInputs')]

train_dataloader = dict(
    batch_size=128,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        split='train',
        pipeline=train_pipeline),
    sampler=dict(type='DefaultSampler', shuffle=True),
    collate_fn=dict(type='pseudo_collate'))
val_dataloader = dict(
    batch_size=500,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        split='test',
        pipeline=test_pipeline),
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='pseudo_collate'))
val_evaluator = dict(type='Accuracy', topk=(1, ))
test_dataloader = val_dataloader
test_evaluator = val_evaluator
