# Objective: the released code's form (see _base_/distillers).
_base_ = [
    '../_base_/chains/resnet26_to_resnet8_cifar10.py',
    '../_base_/distillers/dense_kd_released.py',
    '../_base_/datasets/cifar10_bs128.py',
    '../_base_/schedules/sgd_160e.py',
    '../_base_/default_runtime.py',
]
