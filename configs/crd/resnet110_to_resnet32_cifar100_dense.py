# The standard CIFAR-100 table's ResNet-110 and 32, with two TAs between them.
# Objective: CE + 0.8 CRD (see _base_/distillers).
_base_ = [
    '../_base_/chains/resnet110_to_resnet32_cifar100.py',
    '../_base_/distillers/crd.py',
    '../_base_/datasets/cifar100_bs64.py',
    '../_base_/schedules/sgd_240e.py',
    '../_base_/default_runtime.py',
]
# It caches logits, no features.
chain = dict(logit_store=None)
