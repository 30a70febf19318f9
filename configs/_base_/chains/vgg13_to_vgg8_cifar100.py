# VGG-13, 11 and 8 for 100 classes.
chain = dict(
    guidance='dense',
    # Caches the teachers' logits per view, in <work_dir>/logits.
    logit_store=dict(dtype='float16'),
    # Keys of a dict are sorted when MMEngine writes a config.
    order=['vgg13', 'vgg11', 'vgg8'],
    networks={
        f'vgg{depth}':
        dict(
            model=dict(
                type='ImageClassifier',
                backbone=dict(type='SmallVGG', depth=depth),
                neck=dict(type='GlobalAveragePooling'),
                head=dict(
                    type='LinearClsHead',
                    num_classes=100,
                    in_channels=512,
                    init_cfg=None)))
        for depth in (13, 11, 8)
    })
