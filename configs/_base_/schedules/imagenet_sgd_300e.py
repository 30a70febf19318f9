# torchvision's recipe of 2021 for ImageNet at half of its 600 epochs: lr 0.5
# at batch 1024, a warm-up of 5 epochs, cosine, averaged weights (EMA).
optim_wrapper = dict(
    optimizer=dict(
        type='SGD', lr=0.5, momentum=0.9, nesterov=True, weight_decay=2e-5),
    paramwise_cfg=dict(norm_decay_mult=0.0))
param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=0.01,
        begin=0,
        end=5,
        convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR',
        T_max=295,
        begin=5,
        end=300,
        convert_to_iter_based=True)
]
train_cfg = dict(by_epoch=True, max_epochs=300, val_interval=1)
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(base_batch_size=1024)
