# ResNet-20, ResNet-14 at three widths in one set of weights, trained in one
# stage and distilled from it, and ResNet-8, distilled from all four.
# Objective: as in resnet20_to_resnet8_digits.py.
_base_ = '../dgkd/resnet20_to_resnet8_digits.py'
chain = dict(
    order=['resnet20', 'resnet14', 'resnet14_w875', 'resnet14_w75', 'resnet8'],
    networks=dict(
        _delete_=True,
        resnet20={{_base_.chain.networks.resnet20}},
        resnet14=dict(
            model=dict(
                type='mmrazor.JointSlimmable',
                architecture={{_base_.chain.networks.resnet14.model}},
                widths=[0.75, 0.875, 1.0])),
        # No stages of their own: the other widths of resnet14.
        resnet14_w875=dict(width_of='resnet14', width=0.875),
        resnet14_w75=dict(width_of='resnet14', width=0.75),
        resnet8={{_base_.chain.networks.resnet8}}))
