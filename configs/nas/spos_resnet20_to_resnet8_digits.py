# ResNet-20-14 and a network that is searched among the subnets of ResNet-14
# that cost no more than ResNet-8, distilled from both.
# Objective: as in resnet20_to_resnet8_digits.py.
_base_ = [
    '../dgkd/resnet20_to_resnet8_digits.py',
    '../_base_/nas/resnet14_supernet.py',
]
# The last 342 of 1,442 images are for the search alone.
held_out = dict(
    _base_.val_dataloader,
    dataset=dict(
        type='Digits',
        split='train',
        indices=-342,
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
                train_cfg=dict(val_begin=11),
                train_dataloader=dict(dataset=dict(indices=1100)),
                custom_hooks=[
                    *_base_.custom_hooks,
                    dict(_base_.subnet_search, epoch=10, dataloader=held_out)
                ]))))
