using System.CommandLine;
using System.Globalization;
using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Runs;

namespace Imta.MetaWeight.Experiments.Commands;

/// <summary><c>imta cost [CONFIG.yaml]</c>: MACs and parameters per exit.</summary>
internal static class CostCommand
{
    private static readonly Option<string?> Out
        = new("--out") { HelpName = "FILE.csv", Description = "Also write the table to this file (as cost.csv)" };

    public static Command Build()
    {
        var command = new Command("cost", "Count multiply-adds and parameters up to each exit of the configured network")
        {
            ConfigurationArguments.Config, ConfigurationArguments.Set, Out, OutputFile.Force,
        };
        command.SetAction(Run);
        return command;
    }

    private static int Run(ParseResult arguments)
    {
        Settings settings = ConfigurationArguments.Read(arguments);
        string? file = arguments.GetValue(Out);
        if (file is not null)
        {
            OutputFile.Check(file, arguments);
        }

        ComputeDevice.Configure(settings with { Device = "cpu" });
        using MultiExitNetwork network = NetworkBuilder.Build(settings, CPU);
        CostRow[] rows = CostRow.Table(network.Cost(DatasetShape.For(settings.Data).Side));
        if (file is not null)
        {
            OutputFile.WrapErrors(file, () => CsvTable.Write(file, rows));
        }

        Console.WriteLine($"{settings.Name}: {network.GetName()} for {SettingsSchema.YamlName(settings.Data.Dataset.ToString())}, per "
            + "image, including earlier exits");
        Console.WriteLine($"{"exit",4} {"multiply-adds",18} {"of the last exit",18} {"parameters",14}");
        foreach (CostRow row in rows)
        {
            Console.WriteLine(
                string.Create(
                    CultureInfo.InvariantCulture, $"{row.Exit,4} {row.Macs,18:N0} {row.MacsShare,16:0.0 %}   {row.Parameters,14:N0}"));
        }

        return 0;
    }
}
