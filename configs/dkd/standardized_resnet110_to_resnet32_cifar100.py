# The standard CIFAR-100 table's ResNet-110 and 32.
# Objective: CE + 9 DKD of standardized logits (see _base_/distillers).
_base_ = [
    '../_base_/chains/resnet110_to_resnet32_cifar100.py',
    '../_base_/distillers/dkd_standardized.py',
    '../_base_/datasets/cifar100_bs64.py',
    '../_base_/schedules/sgd_240e.py',
    '../_base_/default_runtime.py',
]
chain = dict(guidance='direct', networks=dict(resnet56=None, resnet44=None))
