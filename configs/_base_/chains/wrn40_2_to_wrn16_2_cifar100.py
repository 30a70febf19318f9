# WRN-40-2, 34-2, 28-2, 22-2 and 16-2 for 100 classes: four larger ones, as in
# the DGKD paper, which does not name those between.
chain = dict(
    guidance='dense',
    # Caches the teachers' logits per view, in <work_dir>/logits.
    logit_store=dict(dtype='float16'),
    # Keys of a dict are sorted when MMEngine writes a config.
    order=[f'wrn{depth}_2' for depth in (40, 34, 28, 22, 16)],
    networks={
        f'wrn{depth}_2':
        dict(
            model=dict(
                type='ImageClassifier',
                backbone=dict(type='WideResNet', depth=depth, widen_factor=2),
                neck=dict(type='GlobalAveragePooling'),
                head=dict(
                    type='LinearClsHead',
                    num_classes=100,
                    in_channels=128,
                    init_cfg=None)))
        for depth in (40, 34, 28, 22, 16)
    })
