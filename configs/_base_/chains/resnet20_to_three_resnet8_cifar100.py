# ResNet-20, 14 and 8, and three that are smaller than ResNet-8: with half its
# channels pruned, searched, and with weights and activations of 8 bits. Four
# epochs of the CIFAR-100 images.
_base_ = [
    'resnet20_to_resnet8_cifar100.py',
    '../datasets/cifar100_bs128.py',
    '../schedules/sgd_4e_onecycle.py',
    '../default_runtime.py',
    '../pruning/l1_half_resnet8.py',
    '../quantization/openvino_8bit.py',
    '../nas/resnet14_supernet.py',
]
resnet8 = _base_.chain.networks.resnet8.model
# The last 5,000 of 50,000 training images are for the search alone.
held_out = dict(
    _base_.val_dataloader,
    dataset=dict(
        _base_.train_dataloader.dataset,
        indices=-5000,
        pipeline=_base_.test_pipeline))
chain = dict(
    order=[
        *_base_.chain.order, 'resnet8_pruned', 'resnet8_searched',
        'resnet8_int8'
    ],
    networks=dict(
        resnet8_pruned=dict(
            init_from='resnet8',
            model=dict(
                type='mmrazor.ItePruneAlgorithm',
                architecture=resnet8,
                mutator_cfg=_base_.l1_mutator,
                target_pruning_ratio=_base_.half_resnet8,
                step_freq=1,
                prune_times=2)),
        resnet8_searched=dict(
            model=dict(
                type='mmrazor.SubnetSPOS',
                architecture=dict(resnet8, backbone=_base_.supernet_backbone)),
            stage=dict(
                train_cfg=dict(val_begin=3),
                train_dataloader=dict(dataset=dict(indices=45000)),
                custom_hooks=[
                    *_base_.custom_hooks,
                    dict(_base_.subnet_search, epoch=2, dataloader=held_out)
                ])),
        resnet8_int8=dict(
            init_from='resnet8',
            model=dict(
                type='mmrazor.MMArchitectureQuant',
                architecture=resnet8,
                input_shapes=(1, 3, 32, 32),
                quantizer=_base_.quantizer),
            stage=dict(optim_wrapper=dict(optimizer=dict(lr=0.01))))))
