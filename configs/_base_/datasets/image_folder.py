# A folder of images; `mmdgkd new` writes the rest: where it is, the pipelines,
# the size of batches and the classes.
train_dataloader = dict(
    dataset=dict(type='CustomDataset'),
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True))
val_dataloader = dict(
    dataset=dict(type='CustomDataset'),
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False))
val_evaluator = dict(type='Accuracy', topk=(1, ))
test_dataloader = val_dataloader
test_evaluator = val_evaluator
val_cfg = dict()
test_cfg = dict()
