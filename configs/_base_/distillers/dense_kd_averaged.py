# (1-lambda) CE + lambda times the MEAN of the teachers' KD, at tau = 4 and
# lambda = 0.9, KD averaged over the batch: however many teachers are active,
# their total weight is the same, so that KD, TAKD and DGKD take steps of one
# size.
_base_ = './dense_kd_released.py'
model = dict(
    task_loss_weight=0.1,
    distiller=dict(
        distill_losses=dict(
            loss_kd=dict(
                form='averaged',
                tau=4.0,
                reduction='batchmean',
                loss_weight=0.9))))
