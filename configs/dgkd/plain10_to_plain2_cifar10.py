# Objective: the released code's form (see _base_/distillers), in the released
# code's recipe: no augmentation, constant lr.
_base_ = [
    '../_base_/chains/plain10_to_plain2_cifar10.py',
    '../_base_/distillers/dense_kd_released.py',
    '../_base_/datasets/cifar10_bs128_noaug.py',
    '../_base_/schedules/sgd_160e_constant.py',
    '../_base_/default_runtime.py',
]
