# The standard CIFAR-100 table's VGG-13 and 8.
# Objective: CE + 9 DKD of standardized logits (see _base_/distillers).
_base_ = [
    '../_base_/chains/vgg13_to_vgg8_cifar100.py',
    '../_base_/distillers/dkd_standardized.py',
    '../_base_/datasets/cifar100_bs64.py',
    '../_base_/schedules/sgd_240e.py',
    '../_base_/default_runtime.py',
]
chain = dict(guidance='direct', networks=dict(vgg11=None))
