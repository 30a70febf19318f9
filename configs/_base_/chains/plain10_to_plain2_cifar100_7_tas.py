# Plain CNNs of 10, 9 and so on to 2 convolutions for 100 classes: seven TAs.
chain = dict(
    guidance='dense',
    # Caches the teachers' logits per view, in <work_dir>/logits.
    logit_store=dict(dtype='float16'),
    # Keys of a dict are sorted when MMEngine writes a config.
    order=[f'plain{depth}' for depth in range(10, 1, -1)],
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
        for depth, in_channels in ((10, 512), (9, 512), (8, 64), (7, 64),
                                   (6, 8192), (5, 8192), (4, 4096), (3, 4096),
                                   (2, 2048))
    })
