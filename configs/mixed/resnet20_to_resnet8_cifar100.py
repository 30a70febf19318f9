# Three ways to a smaller ResNet-8 side by side: half of its channels pruned, a
# subnet that was searched, weights and activations of 8 bits; each guided by
# ResNet-20, 14 and 8, and by none of the two others.
# Objective: the averaged form (see _base_/distillers).
_base_ = [
    '../_base_/chains/resnet20_to_resnet8_cifar100.py',
    '../_base_/distillers/dense_kd_averaged.py',
    '../_base_/datasets/cifar100_bs128.py',
    '../_base_/schedules/sgd_4e_onecycle.py',
    '../_base_/default_runtime.py',
    '../_base_/pruning/l1_half_resnet8.py',
    '../_base_/quantization/openvino_8bit.py',
    '../_base_/nas/resnet14_supernet.py',
]
resnet8 = _base_.chain.networks.resnet8.model
all_three = ['resnet20', 'resnet14', 'resnet8']
# The last 5,000 of 50,000 training images are for the search alone.
held_out = dict(
    _base_.val_dataloader,
    dataset=dict(
        _base_.train_dataloader.dataset,
        indices=-5000,
        pipeline=_base_.test_pipeline))
chain = dict(
    views=dict(num_views=3),
    guidance=dict(
        _delete_=True,
        resnet14=all_three[:1],
        resnet8=all_three[:2],
        resnet8_pruned=all_three,
        resnet8_searched=all_three,
        resnet8_int8=all_three),
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
