# VGG-13 and 8 with VGG-11 between them.
# Objective: the averaged form (see _base_/distillers).
_base_ = [
    '../_base_/chains/vgg13_to_vgg8_cifar100.py',
    '../_base_/distillers/dense_kd_averaged.py',
    '../_base_/datasets/cifar100_bs64.py',
    '../_base_/schedules/sgd_240e.py',
    '../_base_/default_runtime.py',
]
