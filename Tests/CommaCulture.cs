using System.Globalization;

namespace Imta.MetaWeight.Tests;

/// <summary>While it lives, this thread writes 0.5 as <c>0,5</c> and 1000 as <c>1.000</c>, as in German.</summary>
internal sealed class CommaCulture : IDisposable
{
    private readonly CultureInfo _before = CultureInfo.CurrentCulture;

    public CommaCulture()
    {
        var culture = (CultureInfo)CultureInfo.InvariantCulture.Clone(); // programs here have no other culture's data
        (culture.NumberFormat.NumberDecimalSeparator, culture.NumberFormat.NumberGroupSeparator) = (",", ".");
        CultureInfo.CurrentCulture = culture;
    }

    public void Dispose() => CultureInfo.CurrentCulture = _before;
}
