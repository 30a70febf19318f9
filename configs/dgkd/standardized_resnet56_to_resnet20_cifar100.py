# The standard CIFAR-100 table's ResNet-56 and 20, with two TAs between them.
# Objective: 0.1 CE + 9 KD of standardized logits, the averaged form (see
# _base_/distillers).
_base_ = [
    '../_base_/chains/resnet56_to_resnet20_cifar100.py',
    '../_base_/distillers/kd_standardized.py',
    '../_base_/datasets/cifar100_bs64.py',
    '../_base_/schedules/sgd_240e.py',
    '../_base_/default_runtime.py',
]
