namespace Imta.MetaWeight.Tests.TorchSharp;

/// <summary>Types with one of everything, and the lines that they have in a list.</summary>
public static class ApiSamples
{
    internal static readonly string[] Expected =
    [
        "public static class Imta.MetaWeight.Tests.TorchSharp.ApiSamples",
        "public static extension int Imta.MetaWeight.Tests.TorchSharp.ApiSamples.Half(this int value)",
        "public enum Imta.MetaWeight.Tests.TorchSharp.ApiSamples.Kind : sbyte",
        "enum-member Imta.MetaWeight.Tests.TorchSharp.ApiSamples.Kind.None = 0",
        "enum-member Imta.MetaWeight.Tests.TorchSharp.ApiSamples.Kind.Two = 2",
        "public abstract class Imta.MetaWeight.Tests.TorchSharp.ApiSamples.Base",
        "protected ctor Imta.MetaWeight.Tests.TorchSharp.ApiSamples.Base()",
        "public static readonly long Imta.MetaWeight.Tests.TorchSharp.ApiSamples.Base.Fixed",
        "public static bool Imta.MetaWeight.Tests.TorchSharp.ApiSamples.Base.bool",
        "public const float Imta.MetaWeight.Tests.TorchSharp.ApiSamples.Base.Half = 0.5f",
        "public virtual property int Imta.MetaWeight.Tests.TorchSharp.ApiSamples.Base.Size { get; protected set; }",
        "public virtual void Imta.MetaWeight.Tests.TorchSharp.ApiSamples.Base.Reshape(params long[] shape)",
        "protected abstract System.IntPtr Imta.MetaWeight.Tests.TorchSharp.ApiSamples.Base.Find(string name = null, double real = 1E-05, float single = 1E-08f, long? optional = null, bool flag = false, Imta.MetaWeight.Tests.TorchSharp.ApiSamples.Kind kind = Imta.MetaWeight.Tests.TorchSharp.ApiSamples.Kind.Two, System.Span<byte> span = default, string text = \"a\")",
        "public static Imta.MetaWeight.Tests.TorchSharp.ApiSamples.Base Imta.MetaWeight.Tests.TorchSharp.ApiSamples.Base.operator op_Addition(Imta.MetaWeight.Tests.TorchSharp.ApiSamples.Base left, int right)",
        "public sealed class Imta.MetaWeight.Tests.TorchSharp.ApiSamples.Part<T> : Imta.MetaWeight.Tests.TorchSharp.ApiSamples.Base, System.IDisposable where T : unmanaged",
        "public ctor Imta.MetaWeight.Tests.TorchSharp.ApiSamples.Part<T>(T[] values)",
        "public property T Imta.MetaWeight.Tests.TorchSharp.ApiSamples.Part<T>.this[params long[] indices] { get; }",
        "public override void Imta.MetaWeight.Tests.TorchSharp.ApiSamples.Part<T>.Reshape(params long[] sizes)",
        "protected override System.IntPtr Imta.MetaWeight.Tests.TorchSharp.ApiSamples.Part<T>.Find(string name, double real, float single, long? optional, bool flag, Imta.MetaWeight.Tests.TorchSharp.ApiSamples.Kind kind, System.Span<byte> span, string text)",
        "public void Imta.MetaWeight.Tests.TorchSharp.ApiSamples.Part<T>.Dispose()",
        "public (Imta.MetaWeight.Tests.TorchSharp.ApiSamples.Base values, System.Collections.Generic.Dictionary<string, (long, T part)> indexes) Imta.MetaWeight.Tests.TorchSharp.ApiSamples.Part<T>.Pair<TOther, TKey>(TOther other, ref int counter, out TKey key, params object[] rest) where TOther : Imta.MetaWeight.Tests.TorchSharp.ApiSamples.Base, new() where TKey : class",
    ];

    /// <summary>An extension method.</summary>
    public static int Half(this int value) => value / 2;

#pragma warning disable CA1028, CA1051, CA1052, CA1708, CA1721, CA2211, CA2225, IDE1006, CA1045, CA1021, CA1034, CA1819, CA1725
    /// <summary>An enumeration of another size.</summary>
    public enum Kind : sbyte
    {
        /// <summary>Zero.</summary>
        None = 0,

        /// <summary>Not one.</summary>
        Two = 2,
    }

    /// <summary>Members of every sort; private and internal ones are not listed.</summary>
    public abstract class Base
    {
        /// <summary>A field.</summary>
        public static readonly long Fixed = 1;

        /// <summary>A field by a name that is a keyword.</summary>
        public static bool @bool = true;

        /// <summary>A constant.</summary>
        public const float Half = 0.5f;

        internal int Hidden { get; set; }

        /// <summary>A property.</summary>
        public virtual int Size { get; protected set; }

        /// <summary>An operator.</summary>
        public static Base operator +(Base left, int right) => left;

        /// <summary>A method.</summary>
        public virtual void Reshape(params long[] shape) => Hidden++;

        /// <summary>All sorts of default values.</summary>
        protected abstract IntPtr Find(string? name = null, double real = 1e-5, float single = 1e-8f, long? optional = null, bool flag = false, Kind kind = Kind.Two, Span<byte> span = default, string text = "a");

        private protected void Concealed() => Hidden++;
    }

    /// <summary>A generic type with a base and an interface.</summary>
    public sealed class Part<T>(T[] values) : Base, IDisposable
        where T : unmanaged
    {
        /// <summary>An indexer.</summary>
        public T this[params long[] indices] => values[indices[0]];

        /// <inheritdoc/>
        public override void Reshape(params long[] sizes) => Hidden++;

        /// <inheritdoc/>
        public void Dispose() => Hidden++;

        /// <summary>Tuples, type parameters, ref and out.</summary>
        public (Base values, Dictionary<string, (long, T part)> indexes) Pair<TOther, TKey>(TOther other, ref int counter, out TKey key, params object[] rest)
            where TOther : Base, new()
            where TKey : class
        {
            key = (TKey)rest[counter];
            return (other, []);
        }

        /// <inheritdoc/>
        protected override IntPtr Find(string? name, double real, float single, long? optional, bool flag, Kind kind, Span<byte> span, string text) => Hidden;
    }
#pragma warning restore
}
