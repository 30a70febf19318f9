# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Command line, config and exit codes of all commands."""
import argparse
import contextlib
import gc
import os
import os.path as osp
import re
import select
import sys
import time
import traceback
from typing import Any, Iterator, Optional, Sequence, Tuple, Type


def add_common_arguments(parser: argparse.ArgumentParser,
                         several: bool = False) -> None:
    """Add the flags of MMRazor's and MMPretrain's tools.

    Args:
        parser (argparse.ArgumentParser): The parser to add them to.
        several (bool): Whether it takes several guidances. Defaults to False.
    """
    parser.add_argument(
        'config',
        help='the config file; mmdgkd::FILE is one of those of the package, '
        'such as mmdgkd::dgkd/resnet20_to_resnet8_digits.py')
    parser.add_argument(
        '--work-dir',
        help='the output folder (default: work_dirs/<name of the config>)')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=cfg_options_action(),
        help='override settings of the config, such as '
        'train_cfg.max_epochs=10')
    parser.add_argument(
        '--guidance',
        nargs='+' if several else None,
        choices=['none', 'direct', 'sequential', 'dense', 'independent'],
        help='which networks are teachers of which: plain training, KD, '
        'TAKD, DGKD, or all of the last network alone')
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='the launcher of this process (default: none)')
    # torch.distributed.launch passes the second form since PyTorch 2.0.
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)


def cfg_options_action() -> Type[argparse.Action]:
    """MMEngine's reader of ``key=value``, with one-line errors."""
    from mmengine.config import DictAction

    class CfgOptions(DictAction):

        def __call__(self,
                     parser: argparse.ArgumentParser,
                     namespace: argparse.Namespace,
                     values: Sequence[str],
                     option_string: Optional[str] = None) -> None:
            for value in values:
                try:
                    super().__call__(parser, namespace, [value])
                except (AssertionError, IndexError, RecursionError,
                        ValueError):
                    from mmdgkd import ConfigError
                    raise ConfigError(
                        f'{option_string}: {value!r} should be key=value, '
                        'such as train_cfg.max_epochs=10; a list is [a,b], '
                        'and a mapping is given key by key: a.b=1 a.c=2'
                    ) from None

    return CfgOptions


def load_config(args: argparse.Namespace) -> Any:
    """Read the config and merge the command line into it.

    Args:
        args (argparse.Namespace): The command line.

    Returns:
        Config: The config.
    """
    from mmengine.config import Config

    import mmdgkd  # noqa: F401  (configs need its repairs)
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    path = args.config
    if '::' in path:
        # One of a package, as in _base_.
        with contextlib.suppress(AssertionError, ImportError, OSError,
                                 ValueError):
            path, _ = Config._get_cfg_path(path, '')
    if not osp.isfile(path):
        hint = f'{path}.py'
        hint = f'; did you mean {hint}?' if osp.isfile(hint) else ''
        raise mmdgkd.ConfigError(
            f'config: there is no file {args.config!r}{hint}')
    try:
        cfg = Config.fromfile(path)
        if args.cfg_options is not None:
            cfg.merge_from_dict(args.cfg_options)
    except (AttributeError, ImportError, LookupError, NameError, OSError,
            SyntaxError, TypeError, ValueError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise mmdgkd.ConfigError(
            f'config: {args.config!r}: {reason}') from None
    # MMEngine collects garbage for each data set that it builds: a third of a
    # second each time that it walks through all that was imported.
    if not gc.get_freeze_count():
        gc.freeze()
    cfg.launcher = args.launcher
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get('work_dir') is None:
        name = osp.splitext(osp.basename(args.config))[0]
        if args.guidance:
            name += f'_{args.guidance}'
        cfg.work_dir = osp.join('work_dirs', name)
    if args.guidance and cfg.get('chain') is not None:
        cfg.chain.guidance = args.guidance
    return cfg


def set_amp(cfg: Any) -> None:
    """Train with automatic mixed precision, as MMEngine's tools set it.

    Args:
        cfg (Config): The config, which is changed.
    """
    cfg.optim_wrapper.type = 'AmpOptimWrapper'
    cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')


@contextlib.contextmanager
def one_line_errors() -> Iterator[None]:
    """Print errors as one line; a file has the traceback of unexpected ones.

    The exit codes: 0 done, 2 a mistake in the config or in a file, 3 the
    training cannot go on, 75 a signal has stopped it, or another process is
    gone (--resume goes on; 1 where torchrun restarts it), 130 a second signal,
    141 the output was closed.
    After a success or a stop the process group is shut down in order, if there
    is one.
    """
    try:
        yield
        sys.stdout.flush()
        from mmdgkd.utils.distributed import end_processes
        end_processes()
    except ModuleNotFoundError as error:
        sys.exit(f'error: {error}, which mmdgkd needs: pip install '
                 f'{(error.name or "mmdgkd").split(".")[0]}')
    except ImportError as error:
        if 'mmdgkd needs' not in str(error) and 'mmcls' not in str(error):
            raise
        sys.exit(f'error: {error}')
    except KeyboardInterrupt:
        _exit('stopped at once; --resume goes on from the last checkpoint',
              130)
    except Exception as error:
        if _is_of_lost_peer(error):
            _exit(*_lost_peer())
        # The classes cannot be imported here: their import may have failed.
        text, code = str(error), getattr(error, 'exit_code', None)
        if isinstance(error, BrokenPipeError) and _output_is_closed():
            _exit('stopped: the output was closed', 141)
        if code is None or '\n' in text:
            text, code = _unexpected(error)
        if code == 75:
            _exit(text, code, together=True)
        _exit(f'error: {text}', code)


def _is_of_lost_peer(error: Exception) -> bool:
    peers = sys.modules.get('mmdgkd.utils.peers')
    return peers is not None and peers.is_of_lost_peer(error)


def _lost_peer() -> Tuple[str, int]:
    """One line and the exit code where another process has ended."""
    from mmdgkd.utils.distributed import failure_of_peer
    from mmdgkd.utils.peers import code_of_lost_peer
    failure = failure_of_peer()
    if failure is not None:
        return f'error: rank {failure[0]} has failed', failure[1]
    return ('stopped: another process has ended; --resume goes on from the '
            'last checkpoint', code_of_lost_peer())


def _output_is_closed() -> bool:
    """Whether nothing reads the output any more, such as ``head``."""
    with contextlib.suppress(OSError):  # It may be no file.
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)
        if any(event & select.POLLERR for _, event in poll.poll(0)):
            # Python flushes once more when it ends, and errors may go there.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, sys.stdout.fileno())
            poll.register(sys.stderr.fileno(), 0)
            if any(event & select.POLLERR for _, event in poll.poll(0)):
                os.dup2(nowhere, sys.stderr.fileno())
            return True
    return False


def _unexpected(error: Exception) -> Tuple[str, int]:
    """One line and the exit code of an error that no check has found."""
    lines = str(error).strip().splitlines() or ['']
    if 'Original Traceback' in str(error):
        # Of a worker of a data loader: its last line is the error itself.
        reason = re.sub(r'^mmdgkd\.errors\.\w+: ', '', lines[-1])
    else:
        reason = f'{type(error).__name__}: {lines[0]}'
    from mmdgkd.errors import write_traceback
    where = [*getattr(error, '__notes__', ())]
    frames = traceback.extract_tb(error.__traceback__)
    in_data = any('/torch/utils/data/' in frame.filename for frame in frames)
    if in_data:
        where.append('reading the data')
    return (f'{": ".join([*where, reason])}; the traceback is in '
            f'{write_traceback(error)}', 2 if in_data else 3)


def _exit(message: str, code: int, together: bool = False) -> None:
    """Print the reason, if possible on the first rank alone, and exit."""
    rank = os.environ.get('RANK', '0')
    failed = code not in (1, 75, 130)
    if failed and 'mmdgkd.utils.distributed' in sys.modules:
        sys.modules['mmdgkd.utils.distributed'].note_failure(code)
    if rank == '0':
        print(message, file=sys.stderr)
    elif not together:
        # If the first rank has the same error, its exit ends this process.
        time.sleep(5 * failed)
        print(f'[rank {rank}] {message}', file=sys.stderr)
    if 'torch.distributed' in sys.modules:
        from mmengine.dist import is_distributed
        if is_distributed() and together:
            from mmdgkd.utils.distributed import end_processes
            with contextlib.suppress(RuntimeError):  # One may be gone.
                end_processes()
        elif is_distributed():
            # The other ranks may wait for this one forever, and it for them:
            # the launcher ends them all.
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    sys.exit(code)
