# The recipe of the released code with the loss of the paper.
# Objective: the paper's form (see _base_/distillers).
_base_ = [
    '../_base_/chains/resnet110_to_resnet8_cifar100.py',
    '../_base_/distillers/dense_kd_paper.py',
    '../_base_/datasets/cifar100_bs128.py',
    '../_base_/schedules/sgd_160e.py',
    '../_base_/default_runtime.py',
]
