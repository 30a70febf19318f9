custom_imports = dict(imports=['mmdgkd'], allow_failed_imports=False)
default_scope = 'mmpretrain'
runner_type = 'mmrazor.ChainRunner'

default_hooks = dict(
    # MMEngine's RuntimeInfoHook without a device sync in each step.
    runtime_info=dict(type='mmrazor.LazyRuntimeInfoHook'),
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=100),
    param_scheduler=dict(type='ParamSchedulerHook'),
    # Atomic writes; a second one is kept in case the disk damages one.
    checkpoint=dict(
        type='mmrazor.AtomicCheckpointHook', interval=1, max_keep_ckpts=2),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    visualization=dict(type='VisualizationHook', enable=False))
custom_hooks = [
    # With several processes: the same BN statistics on all of them.
    dict(type='SyncBuffersHook'),
    dict(type='mmrazor.FastNetworkHook', channels_last=True),
    # Dropout and the like: a function of (seed, step, rank).
    dict(type='mmrazor.StepSeedHook'),
    # Stop before a loss that is not finite reaches the weights.
    dict(type='mmrazor.FiniteLossHook', max_skips=0)
]

env_cfg = dict(
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'))
vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(type='UniversalVisualizer', vis_backends=vis_backends)
# The losses of the single teachers are smoothed like all other losses.
log_processor = dict(mean_pattern=r'.*(loss|time|grad_norm|distill).*')
log_level = 'INFO'
load_from = None
resume = False
randomness = dict(seed=0, deterministic=False)
