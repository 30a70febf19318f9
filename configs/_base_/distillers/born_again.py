# CE + KD of born-again networks: the labels and what the generation before
# says weigh the same, at tau = 1. Of several guides the mean.
_base_ = './dense_kd_released.py'
model = dict(
    task_loss_weight=1.0,
    distiller=dict(
        distill_losses=dict(
            loss_kd=dict(
                form='averaged',
                tau=1.0,
                reduction='batchmean',
                loss_weight=1.0))))
