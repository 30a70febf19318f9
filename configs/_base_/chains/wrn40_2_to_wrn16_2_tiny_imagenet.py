# WRN-40-2, 28-2 and 16-2 for 200 classes.
chain = dict(
    guidance='dense',
    # Caches the teachers' logits per view, in <work_dir>/logits.
    logit_store=dict(dtype='float16'),
    # Keys of a dict are sorted when MMEngine writes a config.
    order=['wrn40_2', 'wrn28_2', 'wrn16_2'],
    networks={
        f'wrn{depth}_2':
        dict(
            model=dict(
                type='ImageClassifier',
                backbone=dict(type='WideResNet', depth=depth, widen_factor=2),
                neck=dict(type='GlobalAveragePooling'),
                head=dict(
                    type='LinearClsHead',
                    num_classes=200,
                    in_channels=128,
                    init_cfg=None)))
        for depth in (40, 28, 16)
    })
