# ResNet-8 of the chain, pruned to half of its channels by the L1 norm and then
# trained on, guided by all networks before it, the whole ResNet-8 too.
# Objective: as in resnet110_to_resnet8_cifar100.py.
_base_ = '../dgkd/resnet110_to_resnet8_cifar100.py'
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
                        demo_input=(1, 3, 32, 32),
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
                # In equal parts, the first at once, then every 2 epochs.
                step_freq=2,
                prune_times=10))))
