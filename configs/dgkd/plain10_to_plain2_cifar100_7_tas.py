# Seven TAs between plain CNNs of 10 and 2 convolutions, the DGKD paper's
# longest chain, in the released code's recipe.
# Objective: the released code's form (see _base_/distillers).
_base_ = [
    '../_base_/chains/plain10_to_plain2_cifar100_7_tas.py',
    '../_base_/distillers/dense_kd_released.py',
    '../_base_/datasets/cifar100_bs128_noaug.py',
    '../_base_/schedules/sgd_160e_constant.py',
    '../_base_/default_runtime.py',
]
