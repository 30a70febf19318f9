# A WRN-40-4 of 1xN filters: distilled from two TAs as one teacher, the
# pacemaker, and then from the WRN-40-4 of NxN filters, the TAs' only teacher.
# Objective: the averaged form (see _base_/distillers).
_base_ = [
    '../_base_/distillers/dense_kd_averaged.py',
    '../_base_/datasets/cifar100_bs64.py',
    '../_base_/schedules/sgd_240e.py',
    '../_base_/default_runtime.py',
]
row = dict(type='mmrazor.RowConv')
networks = {
    name:
    dict(
        model=dict(
            type='ImageClassifier',
            backbone=dict(
                type='WideResNet',
                depth=depth,
                widen_factor=width,
                conv_cfg=conv),
            neck=dict(type='GlobalAveragePooling'),
            head=dict(
                type='LinearClsHead',
                num_classes=100,
                in_channels=64 * width,
                init_cfg=None)))
    for name, depth, width, conv in (('wrn40_4', 40, 4, None), ('wrn22_4', 22,
                                                                4, None),
                                     ('wrn40_5_row', 40, 5,
                                      row), ('wrn40_4_row_paced', 40, 4,
                                             row), ('wrn40_4_row', 40, 4, row))
}
networks['wrn40_4_row']['init_from'] = 'wrn40_4_row_paced'
pacemaker = ['wrn22_4', 'wrn40_5_row']
guidance = {name: ['wrn40_4'] for name in [*pacemaker, 'wrn40_4_row']}
guidance['wrn40_4_row_paced'] = pacemaker
store = dict(dtype='float16')
chain = dict(guidance=guidance, networks=networks, logit_store=store)
chain['order'] = list(networks)
model = dict(distiller=dict(ensembles=dict(pacemaker=pacemaker)))
