# Data-free: a generator makes the images, the teachers score them, and the
# student is distilled from the teachers on them (DAFL). `loss_weights` are the
# paper's for CIFAR-100, with one teacher; of several the mean.
loss_weights = dict(onehot=0.5, entropy=20.0, activation=0.1)
model = dict(
    type='mmrazor.DenseDAFL',
    teacher_options=dict(channels_last=True, fold_bn=True),
    distiller=dict(
        type='mmrazor.MultiTeacherDistiller',
        student_recorders=dict(logits=dict(type='mmrazor.ModuleOutputs')),
        teacher_recorders=dict(
            logits=dict(type='mmrazor.MultiTeacherOutputs')),
        distill_losses=dict(
            loss_kd=dict(type='mmrazor.DenseKDLoss', form='averaged',
                         tau=1.0)),
        loss_forward_mappings=dict(
            loss_kd=dict(
                preds_S=dict(recorder='logits', from_student=True),
                preds_T=dict(recorder='logits', from_student=False)))),
    generator=dict(
        type='mmrazor.DAFLGenerator',
        img_size=32,
        latent_dim=1000,
        hidden_channels=128),
    generator_distiller=dict(
        type='mmrazor.MultiTeacherDistiller',
        edge_reduction='mean',
        edges=dict(
            default=dict(
                teacher_recorders=dict(
                    logits=dict(type='mmrazor.MultiTeacherOutputs'),
                    features=dict(
                        type='mmrazor.MultiTeacherOutputs',
                        source='neck.gap')),
                distill_losses=dict(
                    loss_onehot=dict(
                        type='mmrazor.OnehotLikeLoss',
                        loss_weight=loss_weights['onehot']),
                    loss_entropy=dict(
                        type='mmrazor.InformationEntropyLoss',
                        loss_weight=loss_weights['entropy']),
                    loss_activation=dict(
                        type='mmrazor.ActivationLoss',
                        loss_weight=loss_weights['activation'])),
                loss_forward_mappings=dict(
                    loss_onehot=dict(
                        preds_T=dict(recorder='logits', from_student=False)),
                    loss_entropy=dict(
                        preds_T=dict(recorder='logits', from_student=False)),
                    loss_activation=dict(
                        feat_T=dict(recorder='features',
                                    from_student=False)))))))
