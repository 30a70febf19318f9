# CE + DKD: the KD of the target class (alpha) and that among the others (beta)
# apart. Of several guides the mean.
model = dict(
    type='mmrazor.DGKD',
    teacher_options=dict(channels_last=True, fold_bn=True),
    distiller=dict(
        type='mmrazor.MultiTeacherDistiller',
        edge_reduction='mean',
        edges=dict(
            default=dict(
                student_recorders=dict(
                    logits=dict(
                        type='mmrazor.ModuleOutputs', source='head.fc'),
                    labels=dict(
                        type='mmrazor.ModuleInputs',
                        source='head.loss_module')),
                teacher_recorders=dict(
                    logits=dict(
                        type='mmrazor.MultiTeacherOutputs', source='head.fc')),
                distill_losses=dict(
                    loss_dkd=dict(
                        type='mmrazor.DKDLoss', tau=4.0, alpha=1.0, beta=2.0)),
                loss_forward_mappings=dict(
                    loss_dkd=dict(
                        preds_S=dict(recorder='logits', from_student=True),
                        preds_T=dict(recorder='logits', from_student=False),
                        gt_labels=dict(
                            recorder='labels', from_student=True,
                            data_idx=1)))))))
