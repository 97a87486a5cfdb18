namespace Imta.MetaWeight.Experiments.Runs;

/// <summary>The tables of a network's evaluation, in one folder.</summary>
/// <param name="folder">The run's, or another.</param>
internal sealed class TestFiles(string folder)
{
    public string Anytime => In("anytime.csv");

    public string Dynamic => In("dynamic.csv");

    public string Exits => In("exits.csv");

    public string Classes => In("classes.csv");

    public string Correlation => In("correlation.csv");

    public string Predictions => In("predictions.csv");

    /// <summary>Not reproducible; only on demand.</summary>
    public string Latency => In("latency.csv");

    /// <summary>A calibrated exit policy, where no other place is given.</summary>
    public string Policy => In("policy.json");

    public IEnumerable<string> All => [Anytime, Dynamic, Exits, Classes, Correlation, Predictions, Latency, Policy];

    private string In(string name) => Path.Combine(folder, name);
}
