namespace Imta.MetaWeight.Tests.Experiments.Checkpoints;

/// <summary>Writes, by Python, a network in files of every kind that people have; see <see cref="ForeignKindsTests"/>.</summary>
internal static class PythonKinds
{
    /// <summary>
    /// Its argument is a folder. There `ok.pth` has the network, `wpn` and an epoch; all other files the same to the bit, those named
    /// `alone_…`
    /// without `wpn`. `…` in a name: zip or legacy, and the pickle protocol.
    /// </summary>
    public const string Script = """
        import argparse, collections, datetime, decimal, enum, fractions, functools, json, os, pathlib, pickle
        import random, struct, sys, types, uuid
        import numpy as np, torch
        out = sys.argv[1]
        torch.manual_seed(1)
        net = collections.OrderedDict([
            ('blocks.0.conv.weight', torch.randn(4, 3, 3)), ('blocks.0.norm.running_mean', torch.randn(4, dtype=torch.float64)),
            ('blocks.0.norm.num_batches_tracked', torch.tensor(7)), ('classifier.0.weight', torch.randn(6, 4).t().half()),
            ('classifier.0.mask', torch.tensor([True, False])), ('classifier.1.bias', torch.randn(20)[5:8])])
        wpn = {'output_layer.weight': torch.randn(2, 2), 'output_layer.bias': torch.randn(2)}
        whole = {'epoch': 2, 'state_dict': net, 'meta_state_dict': wpn}
        def put(name, content, **how): torch.save(content, os.path.join(out, name), **how)
        put('ok.pth', whole)

        class Colour(enum.Enum): RED = 1
        class Slots: __slots__ = ('a',)
        class Tracked(dict): pass
        class Meter: sum = 0.
        class Stateful:
            def __getnewargs_ex__(self): return (1,), {'b': 2}
            def __new__(cls, *a, **k): return object.__new__(cls)
        Point = collections.namedtuple('Point', 'x y')
        def top_level(x): return x
        class Net(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.fc = torch.nn.Linear(3, 3)
                self.layers = [self.fc]
        slots, cyclic = Slots(), Meter()
        slots.a, cyclic.me = 1, cyclic
        optimiser = torch.optim.SGD([torch.nn.Parameter(torch.ones(2))], .1, momentum=.9)
        schedules = torch.optim.lr_scheduler
        ones, complex64, quantise = torch.ones(3), torch.zeros(3, dtype=torch.complex64), torch.quantize_per_tensor
        numbers = {
            'np_float': np.float64(.5), 'np_int': np.int64(3), 'np_bool': np.bool_(True), 'np_array': np.arange(5.),
            'np_objects': np.array([{}, None], dtype=object), 'np_struct': np.zeros(2, dtype=[('a', 'f4'), ('b', 'i8')]),
            'np_dtype': np.dtype('f4'), 'np_str': np.str_('x'), 'np_datetime': np.datetime64('2020-01-01'), 'np_complex': np.complex64(1j),
            'np_random': np.random.get_state(), 'np_random_state': np.random.RandomState(3), 'np_generator': np.random.default_rng(3),
            'torch_random': [torch.get_rng_state()], 'py_random': random.getstate(),
            'complex': 1j, 'big': 1 << 70, 'negative_big': -(1 << 70), 'huge': 1 << 5000, 'inf': float('-inf'), 'nan': float('nan'),
            'ints': [0, -1, 255, 256, 65536, 1 << 31, -(1 << 31) - 1, (1 << 63) - 1, -(1 << 63)],
            'decimal': decimal.Decimal('1.5'), 'fraction': fractions.Fraction(1, 3)}
        containers = {
            'multistep': schedules.MultiStepLR(optimiser, [150, 225]).state_dict(),
            'one_cycle': schedules.OneCycleLR(optimiser, .1, 10).state_dict(),
            'lambda_lr': schedules.LambdaLR(optimiser, lambda epoch: 1).state_dict(),
            'counter': collections.Counter({150: 1}), 'defaultdict': collections.defaultdict(list, {'a': [1]}),
            'chain': collections.ChainMap({}),
            'deque': collections.deque([1, 2], 5), 'ordered': collections.OrderedDict(a=1), 'dict_subclass': Tracked(a=1),
            'range': range(3),
            'namespace': argparse.Namespace(lr=.1, inner=argparse.Namespace(x=1)), 'simple': types.SimpleNamespace(a=1),
            'set': {1, 2}, 'empty_set': set(), 'frozenset': frozenset({1, 'a'}), 'namedtuple': Point(1, 2),
            'bytes': b'\xff\x00' * 200, 'few_bytes': b'', 'bytearray': bytearray(b'abc'),
            'float_key': {.5: 1}, 'tuple_key': {(1, 2): 3}, 'none_key': {None: 1}, 'bool_key': {True: 1}, 'bytes_key': {b'a': 1},
            'big_key': {1 << 80: 1},
            'long_key': {'k' * 5000: 1}, 'class_key': {Meter: 1}, 'enum_key': {Colour.RED: 1},
            'tensors_by_odd_keys': {(0, 1): ones, 1.5: ones}}
        tensors = {
            'device': torch.device('cuda', 1), 'dtype': torch.bfloat16, 'size': torch.Size([1, 2]), 'layout': torch.strided,
            'qscheme': torch.per_tensor_affine, 'complex_tensor': complex64, 'complex128': complex64.to(torch.complex128),
            'conj': complex64.conj(),
            'qint8': quantise(ones, .1, 0, torch.qint8), 'quint8': quantise(ones, .1, 0, torch.quint8),
            'qint32': quantise(ones, .1, 0, torch.qint32),
            'per_channel': torch.quantize_per_channel(torch.ones(2, 3), torch.ones(2) * .1, torch.zeros(2), 0, torch.qint8),
            'sparse': torch.eye(3).to_sparse(), 'sparse_csr': torch.eye(3).to_sparse_csr(), 'meta': torch.empty(3, device='meta'),
            'expanded': torch.ones(1).expand(10 ** 12),
            'storage': ones.storage(), 'parameter': torch.nn.Parameter(ones),
            'parameters': torch.nn.ParameterList([torch.nn.Parameter(ones)]),
            'module': Net(), 'data_parallel': torch.nn.DataParallel(Net()), 'optimiser': optimiser, 'loss': torch.nn.CrossEntropyLoss()}
        objects = {
            'enum': Colour.RED, 'slots': slots, 'meter': Meter(), 'new_with_names': Stateful(), 'cyclic': cyclic,
            'date': datetime.datetime(2020, 1, 1), 'zone': datetime.timezone.utc, 'path': pathlib.Path('/a/b'), 'uuid': uuid.uuid4(),
            'partial': functools.partial(top_level, 1), 'function': top_level, 'builtin': len, 'method': 'x'.join, 'class': Meter,
            'exception': ValueError('x'), 'slice': slice(1), 'ellipsis': ..., 'surrogate': '/data/\udcff',
            'text': 'x\u00e9\U0001f600\n\\u0041\'"',
            'nested': [({'a': {1, 2}}, argparse.Namespace())]}
        for name, value in {**numbers, **containers, **tensors, **objects}.items():
            for protocol in range(6):
                for new in (True, False):
                    try: pickle.dumps(value, protocol)
                    except TypeError: continue # Python cannot, with this protocol
                    put(f'{name}_{"zip" if new else "legacy"}{protocol}.pth', {'first': value, **whole, 'last': [value]},
                        pickle_protocol=protocol, _use_new_zipfile_serialization=new)

        def prefixed(prefix): return collections.OrderedDict((prefix + name, value) for name, value in net.items())
        for prefix in ('_orig_mod.', 'module.', 'module._orig_mod.', '_orig_mod.module.', 'model.', 'model._orig_mod.',
                       'module.model.', '_orig_mod.model.'):
            put(f'prefix_{prefix}pth', {**whole, 'state_dict': prefixed(prefix)})
            put(f'alone_{prefix}pth', prefixed(prefix))
        for key in ('model', 'net', 'model_state_dict', 'state_dict_ema'):
            put(f'place_{key}.pth', {'epoch': 2, key: net, 'meta_state_dict': wpn})
        twice = {name: value * 2 for name, value in net.items()}
        put('place_beside_ema.pth', {'state_dict_ema': twice, 'model': net, 'meta_state_dict': wpn, 'epoch': 3})
        put('place_beside_module.pth', {'model': Net(), 'state_dict_ema': net, 'meta_state_dict': wpn})
        put('alone_numbers.pth', {**net, 'epoch': 3, 'best_acc1': 71.5, 'note': 'x'})
        put('alone_namespace.pth', {**net, 'args': argparse.Namespace(lr=.1)})
        put('extra_state.pth', {**whole, 'state_dict': {**net, '_extra_state': b'abc', 'note': 'x', 'extra': np.float64(1), 5: 'x'}})
        put('parameters.pth', {**whole, 'state_dict': {n: torch.nn.Parameter(v) if v.is_floating_point() else v for n, v in net.items()}})

        class OfPython2(pickle._Pickler): # text as byte strings, and dictionaries with order by their items
            dispatch = dict(pickle._Pickler.dispatch)
            def save_str(self, text):
                raw = text.encode()
                size = b'U' + bytes([len(raw)]) if len(raw) < 256 else b'T' + len(raw).to_bytes(4, 'little')
                self.write(size + raw if self.bin else b'S' + repr(raw)[1:].encode() + b'\n')
                self.memoize(text)
            dispatch[str] = save_str
            def reducer_override(self, value):
                items = [[name, v] for name, v in value.items()] if type(value) is collections.OrderedDict else None
                return NotImplemented if items is None else (collections.OrderedDict, (items,))
        for protocol in range(3):
            python2 = types.ModuleType('python2')
            python2.Pickler = lambda file, protocol=None, p=protocol: OfPython2(file, p)
            python2.dump = lambda content, file, protocol=2, p=protocol: OfPython2(file, p).dump(content)
            for new in (True, False):
                put(f'python2_{"zip" if new else "legacy"}{protocol}.pth', {**whole, 'text': 'x\u00e9\'"\\' * 200},
                    pickle_module=python2, pickle_protocol=protocol, _use_new_zipfile_serialization=new)

        types = {torch.float32: 'F32', torch.float64: 'F64', torch.float16: 'F16', torch.int64: 'I64', torch.bool: 'BOOL'}
        def safetensors(file, extra={}, prefix=''):
            state = {**{prefix + n: v for n, v in net.items()}, **{'meta_state_dict.' + n: v for n, v in wpn.items()}}
            tensors = {**{n: (types[v.dtype], list(v.shape), v.contiguous().numpy().tobytes()) for n, v in state.items()}, **extra}
            header, end = {}, 0
            for n, (kind, shape, raw) in tensors.items():
                header[n] = {'dtype': kind, 'shape': shape, 'data_offsets': [end, end + len(raw)]}
                end += len(raw)
            text = json.dumps(header).encode()
            with open(os.path.join(out, file), 'wb') as f:
                f.write(struct.pack('<Q', len(text)) + text + b''.join(raw for _, _, raw in tensors.values()))
        safetensors('plain.safetensors')
        safetensors('lightning.safetensors', prefix='model.')
        safetensors('compiled.safetensors', prefix='module._orig_mod.')
        for kind, size in {'F8_E4M3': 1, 'F8_E5M2': 1, 'F8_E8M0': 1, 'U16': 2, 'U32': 4, 'U64': 8, 'C64': 8, 'F4': 1}.items():
            safetensors(kind + '.safetensors', {'scale': (kind, [2], bytes(2 * size)), 'a.z': (kind, [], bytes(size))})
        """;
}
