# CE + KD of born-again networks: the labels and the logits of the generation
# before have the same weight, at tau = 1. Of several teachers the mean.
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
