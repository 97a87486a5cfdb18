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
            if (live > Interlocked.Read(ref _peak))
            {
                Interlocked.Exchange(ref _peak, live);
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

        public long[] shape => TensorHandle.Sizes(Handle);

        public ScalarType dtype => (ScalarType)TensorHandle.Describe(Handle).ScalarType;

        public Device device
        {
            get
            {
                TensorDescription description = TensorHandle.Describe(Handle);
                return new Device((DeviceType)description.DeviceType, description.DeviceIndex);
            }
        }

        public DeviceType device_type => (DeviceType)TensorHandle.Describe(Handle).DeviceType;

        public bool is_cuda => device_type == DeviceType.CUDA;

        public bool is_leaf => TensorHandle.Describe(Handle).IsLeaf;

        public long ndim => TensorHandle.Describe(Handle).Dimensions;

        public long Dimensions => ndim;

        public long NumberOfElements => TensorHandle.Describe(Handle).Elements;

        public long ElementSize => TensorHandle.Describe(Handle).ElementSize;

        public bool requires_grad
        {
            get => TensorHandle.Describe(Handle).RequiresGrad;
            set => TensorHandle.SetRequiresGrad(Handle, value);
        }

        /// <summary>What backward left; null when nothing.</summary>
        public Tensor? grad
        {
            get
            {
                nint handle = TensorHandle.Grad(Handle);
                return handle == 0 ? null : new Tensor(handle);
            }

            set => TensorHandle.SetGrad(Handle, value?.Handle ?? 0);
        }

        /// <summary>The elements' bytes, of a contiguous CPU tensor; valid while the tensor lives.</summary>
        /// <exception cref="InvalidOperationException">Another device, gaps between elements, or (when set) another length.</exception>
        public unsafe Span<byte> bytes
        {
            get
            {
                if (device_type != DeviceType.CPU || !is_contiguous())
                {
                    throw new InvalidOperationException("Reading bytes takes a contiguous tensor on the CPU.");
                }

                return new Span<byte>((void*)TensorHandle.Data(Handle), checked((int)(NumberOfElements * ElementSize)));
            }

            set
            {
                Span<byte> target = bytes;
                if (target.Length != value.Length)
                {
                    throw new InvalidOperationException($"The tensor has {target.Length} bytes, not {value.Length}.");
                }

                value.CopyTo(target);
            }
        }

        internal DisposeScope? Scope { get; set; }

        internal Argument Arg => Argument.Tensor(Handle, this);

        /// <summary>Wraps a handle; the tensor owns it from now on.</summary>
        public static Tensor UnsafeCreateTensor(IntPtr handle) => new(handle);

        public long dim() => ndim;

        public long numel() => NumberOfElements;

        public long element_size() => ElementSize;

        public long[] size() => shape;

        public long size(int dim) => shape[dim < 0 ? dim + (int)ndim : dim];

        public long[] stride() => TensorHandle.Strides(Handle);

        public long storage_offset() => TensorHandle.Describe(Handle).StorageOffset;

        public bool is_contiguous() => TensorHandle.IsContiguous(Handle);

        public Tensor requires_grad_(bool requires_grad = true)
        {
            TensorHandle.SetRequiresGrad(Handle, requires_grad);
            return this;
        }

        /// <summary>The value of a tensor with one element; waits for the device.</summary>
        public T item<T>()
            where T : unmanaged
        {
            (bool isReal, long integer, double real) = TensorHandle.Item(Handle);
            object value = isReal ? real : integer;
            return (T)Convert.ChangeType(value, typeof(T), System.Globalization.CultureInfo.InvariantCulture);
        }

        /// <summary>The elements as values of .NET; <typeparamref name="T"/> has to be the element type.</summary>
        public TensorAccessor<T> data<T>()
            where T : unmanaged => new(this);

        public void backward() => TensorHandle.Backward([Handle], null, [], retainGraph: false, createGraph: false);

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
                Scope = null;
            }
        }

        /// <summary>Gives the handle away: this object is disposed and the tensor lives on.</summary>
        internal nint TakeHandle()
        {
            nint handle = Handle;
            _handle = 0;
            Interlocked.Decrement(ref _live);
            Scope?.MarkAsDisposed(this);
            Scope = null;
            GC.SuppressFinalize(this);
            return handle;
        }
    }
}
