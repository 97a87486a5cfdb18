using System.Diagnostics;
using Imta.MetaWeight.Experiments.Evaluation;

namespace Imta.MetaWeight.Tests.Experiments.Training.Distributed;

/// <summary>
/// Two network namespaces with an address each and a virtual cable between them, and a host name for the second: what two machines are to a
/// program.
/// </summary>
internal sealed class TwoMachines : IDisposable
{
    private const string First = "10.77.0.1", Second = "10.77.0.2";

    private readonly string _name = $"imta{Guid.NewGuid():N}"[..10];

    private TwoMachines()
    {
    }

    /// <summary>Starts a rank on each, from the first: in the place of ssh a script enters the other one's network.</summary>
    /// <param name="folder">Where the script may lie.</param>
    /// <param name="launcher">Whose ranks.</param>
    public string[] Starting(string folder, Launcher launcher)
    {
        string agent = Path.Combine(folder, "agent");
        ExecutableScript.Write(
            agent,
            $"#!/bin/sh\nshift\nexec ip netns exec {_name}b unshare --uts sh -c 'hostname {SecondName} && exec sh -c \"$*\"' sh \"$*\"\n");

        string[] across = launcher.IsOpenMpi
            ? ["--host", $"{First},{Second}", "--mca", "plm_rsh_agent", agent]
            // it would see through the memory that they share
            : ["-hosts", $"{First},{Second}", "-launcher", "rsh", "-launcher-exec", agent, "-genv", "UCX_TLS", "tcp,self"];
        return ["ip", "netns", "exec", $"{_name}a", .. launcher.Starting(2), .. across];
    }

    /// <summary>The second one's host name.</summary>
    public string SecondName => $"{_name}b";

    /// <summary>Builds them; null: that is not permitted here.</summary>
    public static TwoMachines? Build()
    {
        var machines = new TwoMachines();
        string name = machines._name;
        string[] steps =
        [
            $"netns add {name}a", $"netns add {name}b", $"link add {name}0 netns {name}a type veth peer name {name}1 netns {name}b",
            $"-n {name}a addr add {First}/24 dev {name}0", $"-n {name}b addr add {Second}/24 dev {name}1",
            $"-n {name}a link set lo up", $"-n {name}b link set lo up", $"-n {name}a link set {name}0 up",
            $"-n {name}b link set {name}1 up",
        ];
        if (steps.All(Ip))
        {
            SpinWait.SpinUntil(
                ()
                    => Reads($"-n {name}a link show {name}0").Contains(" state UP ", StringComparison.Ordinal)
                        && Reads($"-n {name}b link show {name}1").Contains(" state UP ", StringComparison.Ordinal),
                TimeSpan.FromSeconds(10));
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

    private static bool Ip(string arguments) => Run(arguments).Code == 0;

    private static string Reads(string arguments) => Run(arguments).Output;

    private static (int Code, string Output) Run(string arguments)
    {
        try
        {
            using Process ip = Process.Start(
                new ProcessStartInfo("ip", arguments) { RedirectStandardError = true, RedirectStandardOutput = true })!;
            string output = ip.StandardOutput.ReadToEnd();
            ip.WaitForExit();
            return (ip.ExitCode, output);
        }
        catch (System.ComponentModel.Win32Exception)
        {
            return (-1, ""); // there is no such program
        }
    }
}
