# ResNet-56 that is its own teacher: auxiliary heads learn from its last layer.
# Objective: CE, and those of the heads (see _base_/distillers/byot.py).
_base_ = [
    '../_base_/chains/resnet56_to_resnet20_cifar100.py',
    '../_base_/distillers/dense_kd_averaged.py',
    '../_base_/distillers/byot.py',
    '../_base_/datasets/cifar100_bs64.py',
    '../_base_/schedules/sgd_240e.py',
    '../_base_/default_runtime.py',
]
chain = dict(
    guidance='none',
    logit_store=None,
    networks=dict(
        _delete_=True,
        resnet56=dict(
            model=dict(
                type='mmrazor.SelfDistill',
                architecture={{_base_.chain.networks.resnet56.model}},
                distiller={{_base_.byot}}))))
