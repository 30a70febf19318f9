# SVHN with 4-pixel pad-and-crop; not mirrored, as digits are not.
_base_ = './cifar100_bs128.py'
dataset_type = 'BatchedSVHN'
data_root = 'data/svhn'
dataset = dict(type=dataset_type, data_root=data_root)
# Mean and standard deviation of its training images, times 255.
data_preprocessor = dict(
    num_classes=10, mean=[111.6, 113.2, 120.6], std=[50.5, 51.3, 50.2])
train_pipeline = [
    dict(type='RandomCrop', crop_size=32, padding=4),
    dict(type='PackInputs')
]
train_dataloader = dict(dataset=dict(dataset, pipeline=train_pipeline))
val_dataloader = dict(dataset=dataset)
test_dataloader = dict(dataset=dataset)
