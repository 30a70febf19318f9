# The DGKD paper's form, n (1-lambda) CE + lambda sum KD with n teachers, at
# tau = 5 and lambda = 0.5, its KD averaged over the batch alone.
_base_ = './dense_kd_released.py'
model = dict(
    task_loss_weight=0.5,
    distiller=dict(
        distill_losses=dict(
            loss_kd=dict(form='paper', reduction='batchmean',
                         loss_weight=0.5))))
