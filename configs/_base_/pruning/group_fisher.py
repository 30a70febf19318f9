# A network loses one channel after another, by their Fisher information, until
# half of its operations are left. For the `model` of a network of type
# mmrazor.TargetGroupFisher; the graph is the same for images of any size.
fisher_mutator = dict(
    type='mmrazor.GroupFisherChannelMutator',
    channel_unit_cfg=dict(
        # What a channel costs: 'flops', 'act' (memory) or 'none'.
        type='FisherChannelUnit',
        default_args=dict(normalization_type='flops')),
    parse_cfg=dict(
        _scope_='mmrazor',
        type='ChannelAnalyzer',
        demo_input=(1, 3, 32, 32),
        tracer_type='FxTracer'))
