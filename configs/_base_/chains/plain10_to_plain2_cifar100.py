# Plain CNNs of 10-8-6-4-2 convolutions for 100 classes.
chain = dict(
    guidance='dense',
    # Caches the teachers' logits per view, in <work_dir>/logits.
    logit_store=dict(dtype='float16'),
    # Keys of a dict are sorted when MMEngine writes a config.
    order=[f'plain{depth}' for depth in (10, 8, 6, 4, 2)],
    networks={
        f'plain{depth}':
        dict(
            model=dict(
                type='ImageClassifier',
                backbone=dict(
                    type='PlainCNN', depth=depth, variant='cifar100'),
                head=dict(
                    type='LinearClsHead',
                    num_classes=100,
                    in_channels=in_channels,
                    init_cfg=None)))
        for depth, in_channels in ((10, 512), (8, 64), (6, 8192), (4, 4096),
                                   (2, 2048))
    })
