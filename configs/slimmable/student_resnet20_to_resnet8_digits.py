# ResNet-8 at three widths in one set of weights, one for each device, all
# distilled from ResNet-20, 14 and a ResNet-8 in each step.
# Objective: as in resnet20_to_resnet8_digits.py.
_base_ = '../dgkd/resnet20_to_resnet8_digits.py'
chain = dict(
    order=[*_base_.chain.order, 'resnet8_joint', 'resnet8_w75', 'resnet8_w50'],
    networks=dict(
        resnet8_joint=dict(
            model=dict(
                type='mmrazor.JointSlimmable',
                architecture={{_base_.chain.networks.resnet8.model}},
                widths=[0.5, 0.75, 1.0])),
        # No stages of their own: the other widths of it.
        resnet8_w75=dict(width_of='resnet8_joint', width=0.75),
        resnet8_w50=dict(width_of='resnet8_joint', width=0.5)))
