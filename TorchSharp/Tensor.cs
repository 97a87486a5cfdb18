using Imta.MetaWeight.Native;
using TorchSharp.Utils;

namespace TorchSharp;

public static partial class torch
{
    /// <summary>A libtorch tensor: a handle to native memory, freed by <see cref="Dispose()"/> or by the scope it was created in.</summary>
    public partial class Tensor : IDisposable
    {
        private static long _live;
        private static long _peak;
        private nint _handle;

        internal Tensor(nint handle)
        {
            if (handle == 0)
            {
                throw new InvalidOperationException("the operator gave an undefined tensor.");
            }

            _handle = handle;
            long live = Interlocked.Increment(ref _live);
            long peak = Volatile.Read(ref _peak);
            while (live > peak)
            {
                long before = Interlocked.CompareExchange(ref _peak, live, peak);
                peak = before == peak ? live : before;
            }

            DisposeScope.Register(this);
        }

        ~Tensor() => Dispose(false);

        /// <summary>Tensors of this process that are not disposed.</summary>
        public static long TotalCount => Interlocked.Read(ref _live);

        /// <summary>The most that <see cref="TotalCount"/> has been.</summary>
        public static long PeakCount => Interlocked.Read(ref _peak);

        /// <summary>The pointer to the heap-allocated <c>at::Tensor</c>.</summary>
        /// <exception cref="InvalidOperationException">The tensor is disposed.</exception>
        public IntPtr Handle => _handle != 0 ? _handle : throw new InvalidOperationException("Tensor invalid -- empty handle.");

        /// <summary>Whether it is disposed.</summary>
        public bool IsInvalid => _handle == 0;

        public long[] shape => Alive(TensorHandle.Sizes(Handle));

        public ScalarType dtype => (ScalarType)Description.ScalarType;

        public Device device
        {
            get
            {
                TensorDescription description = Description;
                return new Device((DeviceType)description.DeviceType, description.DeviceIndex);
            }
        }

        public DeviceType device_type => (DeviceType)Description.DeviceType;

        public bool is_cuda => device_type == DeviceType.CUDA;

        public bool is_leaf => Description.IsLeaf;

        public long ndim => Description.Dimensions;

        public long Dimensions => ndim;

        public long NumberOfElements => Description.Elements;

        public long ElementSize => Description.ElementSize;

        public bool requires_grad
        {
            get => Description.RequiresGrad;
            set => requires_grad_(value);
        }

        /// <summary>What backward left; null when nothing.</summary>
        public Tensor? grad
        {
            get
            {
                nint handle = Alive(TensorHandle.Grad(Handle));
                return handle == 0 ? null : new Tensor(handle);
            }

            set
            {
                TensorHandle.SetGrad(Handle, value?.Handle ?? 0);
                GC.KeepAlive(this);
                GC.KeepAlive(value);
            }
        }

        /// <summary>The elements' bytes, of a contiguous CPU tensor; valid while the tensor lives.</summary>
        /// <exception cref="InvalidOperationException">Another device, or gaps between elements.</exception>
        /// <exception cref="ArgumentException">More bytes than a span holds; when set, another length.</exception>
        public unsafe Span<byte> bytes
        {
            get
            {
                TensorDescription description = Description;
                if (description.DeviceType != (int)DeviceType.CPU || !is_contiguous())
                {
                    throw new InvalidOperationException("Reading bytes takes a contiguous tensor on the CPU.");
                }

                long length = description.Elements * description.ElementSize;
                if (length > int.MaxValue)
                {
                    throw new ArgumentException($"The tensor has {length} bytes; a span holds {int.MaxValue} at most: take parts.");
                }

                return new Span<byte>((void*)Alive(TensorHandle.Data(Handle)), (int)length);
            }

            set
            {
                Span<byte> target = bytes;
                if (target.Length != value.Length)
                {
                    throw new ArgumentException($"The tensor has {target.Length} bytes, not {value.Length}.");
                }

                value.CopyTo(target);
                GC.KeepAlive(this);
            }
        }

        internal DisposeScope? Scope { get; set; }

        internal int PlaceInScope { get; set; }

        private TensorDescription Description => Alive(TensorHandle.Describe(Handle));

        internal Argument Arg => Argument.Tensor(Handle, this);

        /// <summary>Wraps a handle; the tensor owns it from now on.</summary>
        public static Tensor UnsafeCreateTensor(IntPtr handle) => new(handle);

        public long dim() => ndim;

        public long numel() => NumberOfElements;

        public long element_size() => ElementSize;

        public long[] size() => shape;

        public long size(int dim) => shape[dim < 0 ? dim + (int)ndim : dim];

        public long[] stride() => Alive(TensorHandle.Strides(Handle));

        public long storage_offset() => Description.StorageOffset;

        public bool is_contiguous() => Alive(TensorHandle.IsContiguous(Handle));

        public Tensor requires_grad_(bool requires_grad = true)
        {
            TensorHandle.SetRequiresGrad(Handle, requires_grad);
            return Alive(this);
        }

        /// <summary>The value of a tensor with one element; waits for the device.</summary>
        /// <exception cref="ArgumentException">More or fewer elements, or <typeparamref name="T"/> is not the element type.</exception>
        public T item<T>()
            where T : unmanaged
        {
            TensorDescription description = Description;
            if (description.Elements != 1)
            {
                throw new ArgumentException($"Number of elements in the tensor must be 1, not {description.Elements}.");
            }

            CheckType<T>((ScalarType)description.ScalarType);
            (bool isReal, long integer, double real) = Alive(TensorHandle.Item(Handle));
            object value = isReal ? real : (object)integer;
            return (T)Convert.ChangeType(value, typeof(T), System.Globalization.CultureInfo.InvariantCulture);
        }

        /// <summary>The elements as values of .NET; <typeparamref name="T"/> has to be the element type.</summary>
        /// <exception cref="ArgumentException">Another element type.</exception>
        public TensorAccessor<T> data<T>()
            where T : unmanaged
        {
            CheckType<T>(dtype);
            return new(this);
        }

        public void backward()
        {
            TensorHandle.Backward([Handle], null, [], retainGraph: false, createGraph: false);
            GC.KeepAlive(this);
        }

        public Tensor DetachFromDisposeScope()
        {
            Scope?.Detach(this);
            return this;
        }

        public Tensor MoveToOuterDisposeScope()
        {
            Scope?.MoveToOuter(this);
            return this;
        }

        public Tensor MoveToOtherDisposeScope(DisposeScope? other)
        {
            if (Scope is { } scope)
            {
                scope.MoveToOther(other, this);
            }
            else
            {
                other?.Attach(this);
            }

            return this;
        }

        public override string ToString() => $"[{string.Join("x", shape)}], type = {dtype}, device = {device}";

        public void Dispose()
        {
            Dispose(true);
            GC.SuppressFinalize(this);
        }

        protected virtual void Dispose(bool disposing)
        {
            nint handle = Interlocked.Exchange(ref _handle, 0);
            if (handle == 0)
            {
                return;
            }

            TensorHandle.Free(handle);
            Interlocked.Decrement(ref _live);
            if (disposing)
            {
                Scope?.MarkAsDisposed(this);
            }
        }

        /// <summary>An object that nothing else refers to could be finalised while libtorch still reads its handle: not before this.</summary>
        private TResult Alive<TResult>(TResult result)
        {
            GC.KeepAlive(this);
            return result;
        }

        private static void CheckType<T>(ScalarType type)
        {
            Type expected = type switch
            {
                ScalarType.Byte => typeof(byte),
                ScalarType.Int8 => typeof(sbyte),
                ScalarType.Int16 => typeof(short),
                ScalarType.Int32 => typeof(int),
                ScalarType.Int64 => typeof(long),
                ScalarType.Float32 => typeof(float),
                ScalarType.Float64 => typeof(double),
                ScalarType.Bool => typeof(bool),
                _ => throw new ArgumentException($"values of {type} have no type of .NET here: convert the tensor first."),
            };
            if (typeof(T) != expected)
            {
                throw new ArgumentException($"{typeof(T).Name} is not compatible with {type}.");
            }
        }

        /// <summary>Gives the handle away: this object is disposed and the tensor lives on.</summary>
        internal nint TakeHandle()
        {
            nint handle = Handle;
            _handle = 0;
            Interlocked.Decrement(ref _live);
            Scope?.MarkAsDisposed(this);
            GC.SuppressFinalize(this);
            return handle;
        }
    }
}
