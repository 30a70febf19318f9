# ResNet-110-56-32-20-14-8, each distilled from all before it; ResNet-8 is also
# its own teacher: its auxiliary heads learn from its last layer.
# Objective: (1-lambda) (CE and those of the heads) + the mean of the teachers'
# KD (see _base_/distillers/dense_kd_averaged.py and byot.py).
_base_ = [
    '../_base_/chains/resnet110_to_resnet8_cifar100.py',
    '../_base_/distillers/dense_kd_averaged.py',
    '../_base_/distillers/byot.py',
    '../_base_/datasets/cifar100_bs128.py',
    '../_base_/schedules/sgd_160e.py',
    '../_base_/default_runtime.py',
]
chain = dict(
    networks=dict(
        resnet8=dict(
            model=dict(
                _delete_=True,
                type='mmrazor.SelfDistill',
                architecture={{_base_.chain.networks.resnet8.model}},
                distiller={{_base_.byot}}))))
