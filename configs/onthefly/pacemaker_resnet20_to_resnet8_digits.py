# A ResNet-8 of 1xN filters: distilled from two TAs as one teacher, the
# pacemaker, and then from the teacher. The TAs are distilled from the teacher
# alone.
# Objective: the averaged form (see _base_/distillers).
_base_ = [
    '../_base_/chains/resnet20_to_resnet8_digits.py',
    '../_base_/distillers/dense_kd_averaged.py',
    '../_base_/datasets/digits_bs64.py',
    '../_base_/schedules/sgd_20e_onecycle.py',
    '../_base_/default_runtime.py',
]
networks = {
    name:
    dict(
        model=dict(
            _base_.chain.networks.resnet20.model,
            backbone=dict(
                type='ResNet6n2',
                depth=depth,
                conv_cfg=dict(type='mmrazor.RowConv'))))
    for name, depth in (('resnet14_row', 14), ('resnet8_row_paced', 8),
                        ('resnet8_row', 8))
}
networks['resnet8_row']['init_from'] = 'resnet8_row_paced'
pacemaker = ['resnet14', 'resnet14_row']
chain = dict(
    guidance=dict(
        _delete_=True,
        resnet14=['resnet20'],
        resnet14_row=['resnet20'],
        resnet8_row_paced=pacemaker,
        resnet8_row=['resnet20']),
    order=['resnet20', 'resnet14', *networks],
    networks=dict(networks, resnet8=None))
model = dict(distiller=dict(ensembles=dict(pacemaker=pacemaker)))
