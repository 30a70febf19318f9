# How many channels each unit of a network keeps is learned (DMCP). For the
# `model` of a network of type mmrazor.SubnetDMCP; the graph is the same for
# images of any size.
dmcp_mutator = dict(
    type='mmrazor.DMCPChannelMutator',
    channel_unit_cfg=dict(type='DMCPChannelUnit'),
    # From a quarter to all of the channels, in groups of an eighth.
    pruning_cfg=(0.25, 1, 0.125),
    parse_cfg=dict(
        _scope_='mmrazor',
        type='ChannelAnalyzer',
        demo_input=(1, 3, 32, 32),
        tracer_type='FxTracer'))
# The sizes have a learning rate of their own.
dmcp_optimizer = dict(
    paramwise_cfg=dict(
        custom_keys={'mutator.arch_params': dict(lr_mult=3, decay_mult=0)}))
