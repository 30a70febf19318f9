# ResNet-8 of the chain, pruned to half of its channels by the L1 norm and then
# trained on, guided by ResNet-20, 14 and the whole ResNet-8.
# Objective: as in resnet20_to_resnet8_digits.py.
_base_ = '../dgkd/resnet20_to_resnet8_digits.py'
chain = dict(
    networks=dict(
        resnet8_pruned=dict(
            init_from='resnet8',
            model=dict(
                type='mmrazor.ItePruneAlgorithm',
                architecture={{_base_.chain.networks.resnet8.model}},
                mutator_cfg=dict(
                    type='mmrazor.ChannelMutator',
                    channel_unit_cfg=dict(
                        type='L1MutableChannelUnit',
                        default_args=dict(choice_mode='ratio')),
                    parse_cfg=dict(
                        _scope_='mmrazor',
                        type='ChannelAnalyzer',
                        demo_input=(1, 3, 8, 8),
                        tracer_type='FxTracer')),
                # What is left of each unit of channels.
                target_pruning_ratio={
                    'backbone.conv1_(0, 16)_16': 0.5,
                    'backbone.layer1.0.conv1_(0, 16)_16': 0.5,
                    'backbone.layer2.0.conv1_(0, 32)_32': 0.5,
                    'backbone.layer2.0.conv2_(0, 32)_32': 0.5,
                    'backbone.layer3.0.conv1_(0, 64)_64': 0.5,
                    'backbone.layer3.0.conv2_(0, 64)_64': 0.5
                },
                # In equal parts, the first at once, then one an epoch.
                step_freq=1,
                prune_times=5))))
