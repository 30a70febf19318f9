# ResNet-8 that is its own teacher, a few epochs: a first look.
# Objective: CE, and those of the heads (see _base_/distillers/byot.py).
_base_ = [
    '../_base_/chains/resnet20_to_resnet8_cifar100.py',
    '../_base_/distillers/dense_kd_averaged.py',
    '../_base_/distillers/byot.py',
    '../_base_/datasets/cifar100_bs128.py',
    '../_base_/schedules/sgd_4e_onecycle.py',
    '../_base_/default_runtime.py',
]
chain = dict(
    guidance='none',
    logit_store=None,
    networks=dict(
        _delete_=True,
        resnet8=dict(
            model=dict(
                type='mmrazor.SelfDistill',
                architecture={{_base_.chain.networks.resnet8.model}},
                distiller={{_base_.byot}}))))
