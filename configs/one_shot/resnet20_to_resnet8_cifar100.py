# ResNet-8 of a chain on CIFAR-100 without 90 % of its weights, pruned at once
# by the gradients of a loss with its teachers, and then trained, distilled
# from all before it.
# Objective: the averaged form (see _base_/distillers).
_base_ = [
    '../_base_/chains/resnet20_to_resnet8_cifar100.py',
    '../_base_/distillers/dense_kd_averaged.py',
    '../_base_/datasets/cifar100_bs128.py',
    '../_base_/schedules/sgd_4e_onecycle.py',
    '../_base_/default_runtime.py',
]
chain = dict(
    views=dict(num_views=3),
    networks=dict(
        resnet8_pruned=dict(
            init_from='resnet8',
            model=dict(
                type='mmrazor.OneShotPruned',
                architecture=_base_.chain.networks.resnet8.model,
                sparsity=0.9))))
