# ResNet-56-32-20-14-8 for 100 classes.
chain = dict(
    guidance='dense',
    # Caches the teachers' logits per view, in <work_dir>/logits.
    logit_store=dict(dtype='float16'),
    # Keys of a dict are sorted when MMEngine writes a config.
    order=[f'resnet{depth}' for depth in (56, 32, 20, 14, 8)],
    networks={
        f'resnet{depth}':
        dict(
            model=dict(
                type='ImageClassifier',
                backbone=dict(type='ResNet6n2', depth=depth),
                neck=dict(type='GlobalAveragePooling'),
                head=dict(
                    type='LinearClsHead',
                    num_classes=100,
                    in_channels=64,
                    init_cfg=None)))
        for depth in (56, 32, 20, 14, 8)
    })
