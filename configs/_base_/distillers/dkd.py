# CE + DKD: the KD of the target class (alpha) and that among the others (beta)
# apart.
_base_ = './logits_edge.py'
edge = dict(
    student_recorders=dict(
        labels=dict(type='mmrazor.ModuleInputs', source='head.loss_module')),
    distill_losses=dict(
        loss_dkd=dict(type='mmrazor.DKDLoss', tau=4.0, alpha=1.0, beta=2.0)),
    loss_forward_mappings=dict(
        loss_dkd=dict(
            preds_S=dict(recorder='logits', from_student=True),
            preds_T=dict(recorder='logits', from_student=False),
            gt_labels=dict(recorder='labels', from_student=True, data_idx=1))))
model = dict(distiller=dict(edges=dict(default=edge)))
