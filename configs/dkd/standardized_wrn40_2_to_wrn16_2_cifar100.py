# The standard CIFAR-100 table's WRN-40-2 and 16-2.
# Objective: CE + 9 DKD of standardized logits (see _base_/distillers).
_base_ = [
    '../_base_/chains/wrn40_2_to_wrn16_2_cifar100.py',
    '../_base_/distillers/dkd_standardized.py',
    '../_base_/datasets/cifar100_bs64.py',
    '../_base_/schedules/sgd_240e.py',
    '../_base_/default_runtime.py',
]
chain = dict(
    guidance='direct', networks=dict(wrn34_2=None, wrn28_2=None, wrn22_2=None))
