using System.Globalization;
using Imta.MetaWeight.Native;

namespace TorchSharp;

public static partial class torch
{
    /// <summary>The CPU.</summary>
    public static readonly Device CPU = new(DeviceType.CPU, -1);

    /// <summary>The first CUDA device.</summary>
    public static Device CUDA { get; } = new(DeviceType.CUDA, 0);

    /// <inheritdoc cref="Device(string)"/>
    public static Device device(string description) => new(description);

    /// <summary>Where a tensor's elements lie.</summary>
    public class Device
    {
        /// <param name="description">Such as <c>cpu</c>, <c>cuda</c> or <c>cuda:1</c>.</param>
        /// <exception cref="ArgumentException">No such kind of device.</exception>
        public Device(string description)
        {
            string[] parts = description.Split(':');
            type = parts[0].ToLowerInvariant() switch
            {
                "cpu" => DeviceType.CPU,
                "cuda" => DeviceType.CUDA,
                "meta" => DeviceType.META,
                _ => throw new ArgumentException($"'{description}' names no device; known are cpu, cuda and cuda:N.", nameof(description)),
            };
            index = type == DeviceType.CUDA ? 0 : -1;
            if (parts.Length > 2 || (parts.Length == 2 && !int.TryParse(parts[1], NumberStyles.None, CultureInfo.InvariantCulture, out _)))
            {
                throw new ArgumentException($"'{description}' names no device; known are cpu, cuda and cuda:N.", nameof(description));
            }

            if (parts.Length == 2)
            {
                index = int.Parse(parts[1], CultureInfo.InvariantCulture);
            }
        }

        public Device(DeviceType deviceType, int index = -1)
        {
            type = deviceType;
            this.index = index < 0 && deviceType == DeviceType.CUDA ? 0 : index;
        }

        public DeviceType type { get; }

        /// <summary>−1 where the kind has only one.</summary>
        public int index { get; }

        internal Argument Arg => Argument.Device((int)type, index);

        public override string ToString() => type == DeviceType.CUDA ? $"cuda:{index}" : type.ToString().ToLowerInvariant();
    }

    /// <summary>CUDA devices.</summary>
    public static class cuda
    {
        public static bool is_available() => device_count() > 0;

        public static int device_count() => Runtime.CudaDevices;

        public static void synchronize(Device? device = null) => Runtime.CudaSynchronize(device?.index ?? -1);
    }
}
