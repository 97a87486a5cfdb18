using Imta.MetaWeight.Experiments.Data.Pictures;

namespace Imta.MetaWeight.Experiments.Data;

/// <summary>
/// Labelled images: in CPU memory, or image files that are read batch by batch (<see cref="BatchSource"/>). It owns its tensors: no
/// dispose scope frees them, <see cref="Dispose"/> does.
/// </summary>
internal sealed class ImageSet : IDisposable
{
    /// <summary>Height and width of CIFAR's images, in pixels.</summary>
    public const int Side = ImageTransform.CifarSide;

    private readonly Tensor? _images;
    private (Device Device, Tensor? Images, Tensor Labels)? _copy;

    /// <summary>Images in memory; takes ownership of the tensors.</summary>
    /// <param name="images">uint8 [N, 3, S, S]: red, green, blue.</param>
    /// <param name="labels">int64 [N], 0 … C − 1.</param>
    /// <param name="positions">int64 [N]: the index of each image in the complete set that this one was taken from.</param>
    /// <param name="classNames">C names.</param>
    /// <param name="difficulty">float32 [N], 0 easy … 1 hard, if known.</param>
    /// <exception cref="ArgumentException">Shapes or element types do not match.</exception>
    public ImageSet(Tensor images, Tensor labels, Tensor positions, IReadOnlyList<string> classNames, Tensor? difficulty = null)
        : this(labels, positions, classNames)
    {
        long side = images.dim() == 4 ? images.size(2) : Side;
        Check(images, ScalarType.Byte, [Count, 3, side, side], nameof(images));
        if (difficulty is not null)
        {
            Check(difficulty, ScalarType.Float32, [Count], nameof(difficulty));
        }

        _images = images.DetachFromDisposeScope();
        Difficulty = difficulty?.DetachFromDisposeScope();
    }

    /// <summary>Image files; takes ownership of the tensors.</summary>
    /// <param name="files">The files of the complete set, possibly shared with other sets.</param>
    /// <param name="labels">int64 [N], 0 … C − 1.</param>
    /// <param name="positions">int64 [N]: the index of each image among the files.</param>
    /// <param name="classNames">C names.</param>
    internal ImageSet(ImageFiles files, Tensor labels, Tensor positions, IReadOnlyList<string> classNames)
        : this(labels, positions, classNames) => Files = files;

    private ImageSet(Tensor labels, Tensor positions, IReadOnlyList<string> classNames)
    {
        long count = labels.NumberOfElements;
        Check(labels, ScalarType.Int64, [count], nameof(labels));
        Check(positions, ScalarType.Int64, [count], nameof(positions));
        Labels = labels.DetachFromDisposeScope();
        SourceIndices = positions.DetachFromDisposeScope();
        ClassNames = classNames;
        Count = checked((int)count);
    }

    /// <summary>uint8 [N, 3, S, S].</summary>
    /// <exception cref="InvalidOperationException">The images are not in memory.</exception>
    public Tensor Images => _images ?? throw new InvalidOperationException("These images are files; read them with BatchSource.");

    /// <summary>The files of the whole set, by <see cref="SourceIndices"/>; null: the images are in memory.</summary>
    internal ImageFiles? Files { get; }

    /// <summary>int64 [N].</summary>
    public Tensor Labels { get; }

    /// <summary>
    /// int64 [N]: the index of each image in the complete training or test set, in file order from 0. Identifies an image across runs
    /// and splits.
    /// </summary>
    public Tensor SourceIndices { get; }

    /// <summary>float32 [N], 0 easy … 1 hard; null if unknown (real images).</summary>
    public Tensor? Difficulty { get; }

    /// <summary>The names of the C classes, by label.</summary>
    public IReadOnlyList<string> ClassNames { get; }

    /// <summary>The number N of images.</summary>
    public int Count { get; }

    /// <summary>The number of images of each class, C numbers.</summary>
    public long[] ClassCounts()
    {
        using DisposeScope scope = NewDisposeScope();
        return Labels.bincount(null, ClassNames.Count).ToArray<long>();
    }

    /// <summary>
    /// Images and labels on a device: copied on first use, and kept for the lifetime of the set, or until another device is requested.
    /// </summary>
    /// <param name="device">The device; on the CPU the set's own tensors are returned.</param>
    /// <returns>uint8 [N, 3, S, S], null for image files; int64 [N].</returns>
    public (Tensor? Images, Tensor Labels) ToDevice(Device device)
    {
        if (device.type == DeviceType.CPU)
        {
            return (_images, Labels);
        }

        if (_copy is not { } copy || copy.Device.ToString() != device.ToString())
        {
            ReleaseDeviceCopy();
            _copy = copy = (device, _images?.to(device).DetachFromDisposeScope(), Labels.to(device).DetachFromDisposeScope());
        }

        return (copy.Images, copy.Labels);
    }

    /// <summary>A copy of some of the images.</summary>
    /// <param name="rows">Indices 0 … N − 1, in the desired order.</param>
    public ImageSet Select(long[] rows)
    {
        using var scope = NewDisposeScope();
        var index = tensor(rows);
        (Tensor labels, Tensor positions) = (Labels.index_select(0, index), SourceIndices.index_select(0, index));
        return Files is { } files
            ? new ImageSet(files, labels, positions, ClassNames)
            : new ImageSet(Images.index_select(0, index), labels, positions, ClassNames, Difficulty?.index_select(0, index));
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        ReleaseDeviceCopy();
        _images?.Dispose();
        Labels.Dispose();
        SourceIndices.Dispose();
        Difficulty?.Dispose();
    }

    private void ReleaseDeviceCopy()
    {
        _copy?.Images?.Dispose();
        _copy?.Labels.Dispose();
        _copy = null;
    }

    private static void Check(Tensor tensor, ScalarType type, long[] shape, string name)
    {
        if (tensor.dtype != type || tensor.device_type != DeviceType.CPU || !tensor.shape.AsSpan().SequenceEqual(shape))
        {
            throw new ArgumentException($"{name} are {tensor}; expected [{string.Join("x", shape)}], {type}, on the CPU.", name);
        }
    }
}
