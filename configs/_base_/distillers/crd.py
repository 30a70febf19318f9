# CE + 0.8 CRD: each teacher and the student contrast the samples of the
# training data by the features before their heads. Of several teachers the
# mean.
_embed = dict(type='mmrazor.CRDConnector', dim_in=64, dim_out=128)
crd_edge = dict(
    student_recorders=dict(
        pooled=dict(type='mmrazor.ModuleOutputs', source='neck'),
        batch=dict(type='mmrazor.ModuleInputs', source='')),
    teacher_recorders=dict(
        pooled=dict(type='mmrazor.ModuleOutputs', source='neck')),
    connectors=dict(of_student=_embed, of_guide=_embed),
    distill_losses=dict(
        loss_crd=dict(
            type='mmrazor.BankCRDLoss',
            loss_weight=0.8,
            temperature=0.07,
            neg_num=16384,
            sample_n=50000,
            dim_out=128)),
    loss_forward_mappings=dict(
        loss_crd=dict(
            s_feats=dict(
                recorder='pooled',
                from_student=True,
                data_idx=0,
                connector='of_student'),
            t_feats=dict(
                recorder='pooled',
                from_student=False,
                data_idx=0,
                connector='of_guide'),
            data_samples=dict(recorder='batch', from_student=True,
                              data_idx=1))))
model = dict(
    type='mmrazor.DGKD',
    teacher_options=dict(channels_last=True, fold_bn=True),
    distiller=dict(
        type='mmrazor.MultiTeacherDistiller',
        edge_reduction='mean',
        edges=dict(default=crd_edge)))
