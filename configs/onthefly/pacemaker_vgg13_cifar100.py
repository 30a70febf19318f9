# A VGG-13 of 1xN filters: distilled from two TAs as one teacher, the
# pacemaker, and then from the VGG-13 of NxN filters, which alone is the
# teacher of the TAs.
# Objective: the averaged form (see _base_/distillers).
_base_ = [
    '../_base_/distillers/dense_kd_averaged.py',
    '../_base_/datasets/cifar100_bs64.py',
    '../_base_/schedules/sgd_240e.py',
    '../_base_/default_runtime.py',
]
row = dict(conv_cfg=dict(type='mmrazor.RowConv'), pool_size=(1, 2))
networks = {
    name:
    dict(
        model=dict(
            type='ImageClassifier',
            backbone=dict(type='SmallVGG', depth=depth, **filters),
            neck=dict(type='GlobalAveragePooling'),
            head=dict(
                type='LinearClsHead',
                num_classes=100,
                in_channels=512,
                init_cfg=None)))
    for name, depth, filters in (('vgg13', 13,
                                  {}), ('vgg8', 8, {}), ('vgg16_row', 16, row),
                                 ('vgg13_row_paced', 13, row), ('vgg13_row',
                                                                13, row))
}
networks['vgg13_row']['init_from'] = 'vgg13_row_paced'
pacemaker = ['vgg8', 'vgg16_row']
guidance = {name: ['vgg13'] for name in [*pacemaker, 'vgg13_row']}
guidance['vgg13_row_paced'] = pacemaker
store = dict(dtype='float16')
chain = dict(guidance=guidance, networks=networks, logit_store=store)
chain['order'] = list(networks)
model = dict(distiller=dict(ensembles=dict(pacemaker=pacemaker)))
