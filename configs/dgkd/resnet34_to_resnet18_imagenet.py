# ResNet-34 to 18 with one TA, on ImageNet, by the recipe of ResNets: 100
# epochs in batches of 256 (8 processes of 32), lr 0.1 stepped.
# Objective: the averaged form at tau = 1 (see _base_/distillers).
_base_ = [
    '../_base_/chains/resnet34_to_resnet18_imagenet.py',
    '../_base_/distillers/dense_kd_imagenet.py',
    '../_base_/datasets/imagenet_bs32.py',
    'mmpretrain::_base_/schedules/imagenet_bs256.py',
    '../_base_/default_runtime.py',
]
