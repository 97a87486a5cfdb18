using System.Runtime.InteropServices;

namespace Imta.MetaWeight.Backbones.Kernels;

/// <summary>What a pass over all rows is given.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct NormReluJob<T>
    where T : unmanaged
{
    public Chunks Chunks; // first: see Chunks.Run
    public TilePlan Plan;
    public Rows<T> Z;

    /// <summary>A gradient or direction; <see cref="More"/>, which may have no data, is added to a direction.</summary>
    public Rows<T> Change;
    public Rows<T> More;
    public Rows<T> Written;
    public Coefficients<T> By;

    /// <summary>Each chunk's 2 C sums.</summary>
    public double* Partial;
}
