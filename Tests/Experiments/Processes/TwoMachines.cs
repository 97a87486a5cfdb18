using System.Diagnostics;

namespace Imta.MetaWeight.Tests.Experiments.Processes;

/// <summary>Two network namespaces with an address each and a virtual cable between them: what two machines are to a program.</summary>
internal sealed class TwoMachines : IDisposable
{
    /// <summary>The first one's.</summary>
    public const string Address = "10.77.0.1";

    private readonly string _name = $"imta{Guid.NewGuid():N}"[..10];

    private TwoMachines()
    {
    }

    /// <summary>What starts a program on the first one.</summary>
    public string[] First => ["ip", "netns", "exec", $"{_name}a"];

    /// <summary>What starts a program on the second one.</summary>
    public string[] Second => ["ip", "netns", "exec", $"{_name}b"];

    /// <summary>Builds them; null: that is not permitted here.</summary>
    public static TwoMachines? Build()
    {
        var machines = new TwoMachines();
        string name = machines._name;
        string[] steps =
        [
            $"netns add {name}a", $"netns add {name}b", $"link add {name}0 netns {name}a type veth peer name {name}1 netns {name}b",
            $"-n {name}a addr add {Address}/24 dev {name}0", $"-n {name}b addr add 10.77.0.2/24 dev {name}1",
            $"-n {name}a link set lo up", $"-n {name}b link set lo up", $"-n {name}a link set {name}0 up", $"-n {name}b link set {name}1 up",
        ];
        if (steps.All(Ip))
        {
            return machines;
        }

        machines.Dispose();
        return null;
    }

    /// <summary>Cuts the cable: nothing arrives any more, and nobody is told.</summary>
    public void Cut() => Ip($"-n {_name}b link set {_name}1 down").Should().BeTrue();

    public void Mend() => Ip($"-n {_name}b link set {_name}1 up").Should().BeTrue();

    public void Dispose()
    {
        Ip($"netns del {_name}a");
        Ip($"netns del {_name}b");
    }

    private static bool Ip(string arguments)
    {
        try
        {
            using Process ip = Process.Start(new ProcessStartInfo("ip", arguments) { RedirectStandardError = true, RedirectStandardOutput = true })!;
            ip.WaitForExit();
            return ip.ExitCode == 0;
        }
        catch (System.ComponentModel.Win32Exception)
        {
            return false; // there is no such program
        }
    }
}
