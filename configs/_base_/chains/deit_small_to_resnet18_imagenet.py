# DeiT-small of MMPretrain's zoo, 80.69 % top-1; ResNet-34 as the TA;
# ResNet-18. Those that are trained have smoothed labels, and their images are
# mixed.
chain = dict(
    guidance='dense',
    # 300 epochs see each of 100 views three times: 16 GB a teacher.
    views=dict(num_views=100),
    logit_store=dict(dtype='float16', top_k=20),
    # Keys of a dict are sorted when MMEngine writes a config.
    order=['deit_small', 'resnet34', 'resnet18'],
    networks=dict(
        deit_small=dict(
            model=dict(cfg_path='mmpretrain::deit/deit-small_4xb256_in1k.py'),
            ckpt_path='https://download.openmmlab.com/mmclassification/v0/'
            'deit/deit-small_pt-4xb256_in1k_20220218-9425b9bb.pth'),
        **{
            f'resnet{depth}':
            dict(
                model=dict(
                    cfg_path=f'mmpretrain::resnet/resnet{depth}_8xb32_in1k.py',
                    head=dict(
                        loss=dict(
                            type='LabelSmoothLoss',
                            label_smooth_val=0.1,
                            mode='original')),
                    train_cfg=dict(augments=[
                        dict(type='Mixup', alpha=0.2),
                        dict(type='CutMix', alpha=1.0)
                    ])))
            for depth in (34, 18)
        }))
