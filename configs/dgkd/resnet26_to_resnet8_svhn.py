# ResNet-26-20-14-8 on SVHN's 73,257 training images.
# Objective: the averaged form (see _base_/distillers).
_base_ = [
    '../_base_/chains/resnet26_to_resnet8_cifar10.py',
    '../_base_/distillers/dense_kd_averaged.py',
    '../_base_/datasets/svhn_bs128.py',
    '../_base_/schedules/sgd_160e.py',
    '../_base_/default_runtime.py',
]
