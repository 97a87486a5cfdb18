using Imta.MetaWeight.Native;

namespace TorchSharp;

public static partial class torch
{
    /// <summary>Seeds libtorch's own generators, on all devices, and returns the CPU's.</summary>
    public static Generator manual_seed(long seed)
    {
        Runtime.SeedAll(unchecked((ulong)seed));
        return new Generator(GeneratorHandle.ProcessWide());
    }

    /// <summary>A sequence of random numbers with its own state, on the CPU.</summary>
    public class Generator : IDisposable
    {
        private nint _handle;

        /// <exception cref="NotSupportedException">A device other than the CPU.</exception>
        public Generator(ulong seed = 0, Device? device = null)
        {
            if (device is { type: not DeviceType.CPU })
            {
                throw new NotSupportedException($"random generators are made on the CPU here, not on {device}: draw there and move the numbers.");
            }

            _handle = GeneratorHandle.New(seed);
        }

        internal Generator(nint handle) => _handle = handle;

        ~Generator() => Dispose(false);

        public IntPtr Handle => _handle != 0 ? _handle : throw new ObjectDisposedException(nameof(Generator));

        public Device device => CPU;

        internal Argument Arg => Argument.Generator(Handle, this);

        public Generator manual_seed(long seed)
        {
            GeneratorHandle.Seed(Handle, unchecked((ulong)seed));
            GC.KeepAlive(this);
            return this;
        }

        public long initial_seed()
        {
            ulong seed = GeneratorHandle.InitialSeed(Handle);
            GC.KeepAlive(this);
            return unchecked((long)seed);
        }

        public void Dispose()
        {
            Dispose(true);
            GC.SuppressFinalize(this);
        }

        protected virtual void Dispose(bool disposing)
        {
            nint handle = Interlocked.Exchange(ref _handle, 0);
            if (handle != 0)
            {
                GeneratorHandle.Free(handle);
            }
        }
    }
}
