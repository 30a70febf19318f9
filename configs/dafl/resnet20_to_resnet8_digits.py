# Only ResNet-20 is trained on digits. ResNet-14 learns from it on images of a
# generator, and ResNet-8 from both.
# Objective: the mean of the teachers' KD at tau = 1, without labels; for the
# generator 1 one-hot + 5 entropy + 0.1 activation, DAFL's weights for MNIST.
_base_ = [
    '../_base_/chains/resnet20_to_resnet8_digits.py',
    '../_base_/distillers/dafl.py',
    '../_base_/datasets/digits_bs64.py',
    '../_base_/schedules/sgd_20e_onecycle.py',
    '../_base_/default_runtime.py',
]
model = dict(
    gray=True,
    generator=dict(img_size=8, latent_dim=100, hidden_channels=64),
    generator_distiller=dict(
        edges=dict(
            default=dict(
                distill_losses=dict(
                    loss_onehot=dict(loss_weight=1.0),
                    loss_entropy=dict(loss_weight=5.0))))))
data_free = dict(
    train_dataloader=dict(
        batch_size=64,
        dataset=dict(
            _delete_=True, type='NoImages', length=1920, shape=(3, 8, 8))),
    optim_wrapper=dict(
        constructor='mmrazor.GeneratorOptimWrapperConstructor',
        generator=dict(optimizer=dict(type='Adam', lr=1e-4))),
    # The generator's stays what it is.
    param_scheduler=dict(
        _delete_=True, student=_base_.param_scheduler, generator=[]))
chain = dict(
    # No image comes twice.
    logit_store=None,
    networks=dict(
        resnet14=dict(stage=data_free), resnet8=dict(stage=data_free)))
default_hooks = dict(logger=dict(interval=20))
