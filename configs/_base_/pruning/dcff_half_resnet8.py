# ResNet-8 with half as many filters, each a sum of all that it had (DCFF).
# For the `model` of a network of type mmrazor.DCFF; the graph is the same for
# images of any size.
_base_ = './l1_half_resnet8.py'
dcff_mutator = dict(
    type='mmrazor.DCFFChannelMutator',
    channel_unit_cfg=dict(
        type='FusionChannelUnit', default_args=dict(choice_mode='ratio')),
    parse_cfg={{_base_.l1_mutator.parse_cfg}})
