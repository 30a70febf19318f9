# ResNet-110-56, ResNet-32 at three widths in one set of weights, in place of
# 32-20-14, trained in one stage and distilled from them, and ResNet-8,
# distilled from all five.
# Objective: as in resnet110_to_resnet8_cifar100_released.py.
_base_ = '../dgkd/resnet110_to_resnet8_cifar100_released.py'
chain = dict(
    order=[
        'resnet110', 'resnet56', 'resnet32', 'resnet32_w75', 'resnet32_w50',
        'resnet8'
    ],
    networks=dict(
        _delete_=True,
        resnet110={{_base_.chain.networks.resnet110}},
        resnet56={{_base_.chain.networks.resnet56}},
        resnet32=dict(
            model=dict(
                type='mmrazor.JointSlimmable',
                architecture={{_base_.chain.networks.resnet32.model}},
                widths=[0.5, 0.75, 1.0])),
        # No stages of their own: the other widths of resnet32.
        resnet32_w75=dict(width_of='resnet32', width=0.75),
        resnet32_w50=dict(width_of='resnet32', width=0.5),
        resnet8={{_base_.chain.networks.resnet8}}))
