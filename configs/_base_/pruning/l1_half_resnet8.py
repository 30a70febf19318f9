# ResNet-8 loses half of its channels by the L1 norm. For the `model` of a
# network of type mmrazor.ItePruneAlgorithm; the graph is the same for images
# of any size.
l1_mutator = dict(
    type='mmrazor.ChannelMutator',
    channel_unit_cfg=dict(
        type='L1MutableChannelUnit', default_args=dict(choice_mode='ratio')),
    parse_cfg=dict(
        _scope_='mmrazor',
        type='ChannelAnalyzer',
        demo_input=(1, 3, 32, 32),
        tracer_type='FxTracer'))
# What is left of each unit of channels.
half_resnet8 = {
    'backbone.conv1_(0, 16)_16': 0.5,
    'backbone.layer1.0.conv1_(0, 16)_16': 0.5,
    'backbone.layer2.0.conv1_(0, 32)_32': 0.5,
    'backbone.layer2.0.conv2_(0, 32)_32': 0.5,
    'backbone.layer3.0.conv1_(0, 64)_64': 0.5,
    'backbone.layer3.0.conv2_(0, 64)_64': 0.5
}
