# ResNet-110 to 8, and a network that is searched among the subnets of
# ResNet-14 that cost no more than ResNet-8, distilled from all before it.
# Objective: as in resnet110_to_resnet8_cifar100_released.py.
_base_ = [
    '../dgkd/resnet110_to_resnet8_cifar100_released.py',
    '../_base_/nas/resnet14_supernet.py',
]
# The last 5,000 of 50,000 training images are for the search alone.
held_out = dict(
    _base_.val_dataloader,
    dataset=dict(
        _base_.train_dataloader.dataset,
        indices=-5000,
        pipeline=_base_.test_pipeline))
chain = dict(
    networks=dict(
        resnet8_searched=dict(
            model=dict(
                type='mmrazor.SubnetSPOS',
                architecture=dict(
                    _base_.chain.networks.resnet8.model,
                    backbone=_base_.supernet_backbone)),
            stage=dict(
                train_cfg=dict(val_begin=81),
                train_dataloader=dict(dataset=dict(indices=45000)),
                custom_hooks=[
                    *_base_.custom_hooks,
                    # Half of the epochs as a supernet, before the rate of
                    # learning is lowered.
                    dict(_base_.subnet_search, epoch=80, dataloader=held_out)
                ]))))
