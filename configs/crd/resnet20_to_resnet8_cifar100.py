# ResNet-8 distilled from ResNet-20, a few epochs each.
# Objective: CE + 0.8 CRD (see _base_/distillers).
_base_ = [
    '../_base_/chains/resnet20_to_resnet8_cifar100.py',
    '../_base_/distillers/crd.py',
    '../_base_/datasets/cifar100_bs128.py',
    '../_base_/schedules/sgd_4e_onecycle.py',
    '../_base_/default_runtime.py',
]
chain = dict(
    guidance='direct',
    # It contrasts features.
    logit_store=None,
    networks=dict(resnet14=None))
