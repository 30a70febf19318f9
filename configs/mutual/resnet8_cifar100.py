# Two ResNet-8 from other weights, in one stage, each distilled from the other
# (deep mutual learning); without a larger teacher, as in the paper.
# Objective: of each CE + KL from the other at tau = 1.
_base_ = [
    '../_base_/chains/resnet20_to_resnet8_cifar100.py',
    '../_base_/distillers/dense_kd_averaged.py',
    '../_base_/datasets/cifar100_bs128.py',
    '../_base_/schedules/sgd_4e_onecycle.py',
    '../_base_/default_runtime.py',
]
chain = dict(
    guidance='none',
    logit_store=None,
    order=['resnet8', 'resnet8_peer'],
    networks=dict(
        _delete_=True,
        resnet8=dict(
            model=dict(
                type='mmrazor.MutualNetworks',
                architecture={{_base_.chain.networks.resnet8.model}},
                peers=dict(
                    resnet8_peer={{_base_.chain.networks.resnet8.model}}))),
        # Without a stage of its own.
        resnet8_peer=dict(member_of='resnet8')))
