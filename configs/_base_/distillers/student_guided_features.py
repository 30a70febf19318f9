# 0.5 CE + 0.5 MSE of the features before the classifier and the mean of those
# of 30 passes of Dropout that are nearest to them, as published
# (arXiv 2504.14307). Of several teachers the mean.
model = dict(
    type='mmrazor.DGKD',
    task_loss_weight=0.5,
    teacher_options=dict(channels_last=True, fold_bn=True),
    distiller=dict(
        type='mmrazor.MultiTeacherDistiller',
        student_recorders=dict(
            features=dict(type='mmrazor.ModuleInputs', source='head.fc')),
        teacher_recorders=dict(
            features=dict(
                type='mmrazor.StochasticTeacherOutputs',
                source='head.fc',
                num_passes=30,
                drop_prob=0.5,
                features=True)),
        distill_losses=dict(
            loss_features=dict(type='mmrazor.StudentGuidedFeatureLoss')),
        loss_forward_mappings=dict(
            loss_features=dict(
                s_feats=dict(
                    recorder='features', from_student=True, data_idx=0),
                t_feats=dict(recorder='features', from_student=False)))))
