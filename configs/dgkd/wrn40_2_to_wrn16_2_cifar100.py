# WRN-40-2 to 16-2 with three TAs between them.
# Objective: the averaged form (see _base_/distillers).
_base_ = [
    '../_base_/chains/wrn40_2_to_wrn16_2_cifar100.py',
    '../_base_/distillers/dense_kd_averaged.py',
    '../_base_/datasets/cifar100_bs64.py',
    '../_base_/schedules/sgd_240e.py',
    '../_base_/default_runtime.py',
]
