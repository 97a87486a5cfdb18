using System.Collections;
using System.Collections.Specialized;
using System.Globalization;
using System.Runtime.InteropServices;
using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Training;
using TorchSharp.PyBridge;

namespace Imta.MetaWeight.Experiments.Runs;

/// <summary>
/// All that a run needs to go on after an epoch, as a PyTorch file: backbone (<c>state_dict</c>), WPN (<c>meta_state_dict</c>), both
/// optimisers, the epoch, the random state and the configuration. Every random number follows from the seed, its purpose and the epoch
/// and batch it is for, so the random state is the seed.
/// </summary>
internal static class Checkpoint
{
    private const long Format = 2;

    public static void Write(string path, Settings settings, TrainingPhase phase, RunModel model, int epochs)
    {
        var content = new OrderedDictionary
        {
            ["format"] = Format,
            ["epoch"] = (long)epochs,
            ["phase"] = (long)phase.Number,
            ["random"] = new OrderedDictionary { ["seed"] = (long)settings.Seed },
            ["config"] = SettingsWriter.Write(settings),
            ["state_dict"] = Named(model.Network.state_dict()),
            ["optimizer"] = new OrderedDictionary { ["momentum_buffer"] = Buffers(model) },
        };
        if (model.Weighting is { } weighting)
        {
            content["meta_state_dict"] = Named(weighting.Network.state_dict());
            content["meta_optimizer"] = new OrderedDictionary
            {
                ["step"] = weighting.Optimiser.Steps,
                ["exp_avg"] = Listed(weighting.Names, weighting.Optimiser.Means),
                ["exp_avg_sq"] = Listed(weighting.Names, weighting.Optimiser.Squares),
            };
        }

        AtomicFile.Write(path, stream => PyTorchPickler.PickleStateDict(stream, content, leaveOpen: true));
    }

    /// <summary>Reads a checkpoint's content; its tensors belong to the open dispose scope.</summary>
    /// <exception cref="UsageException">It is damaged, or of another format.</exception>
    public static Content Read(string path)
    {
        try
        {
            Hashtable content = PyTorchUnpickler.UnpickleStateDict(path);
            if (content["format"] is not { } format || Integer(format) != Format)
            {
                throw new UsageException($"{path} is of checkpoint format {content["format"] ?? "(none)"}; this version reads format {Format}");
            }

            Settings settings = SettingsLoader.Parse((string)content["config"]!, path);
            return new Content(settings, checked((int)Integer(content["epoch"])), checked((int)Integer(content["phase"])), content);
        }
        catch (Exception e) when (e is InvalidDataException or InvalidCastException or FormatException or OverflowException or NullReferenceException or IOException or UnauthorizedAccessException)
        {
            throw new UsageException($"{path} is no checkpoint that can be read ({e.Message.TrimEnd('.')}); start the run anew, or restore the file", e);
        }
    }

    // A reader may give a small integer as int or as long.
    private static long Integer(object? value) => Convert.ToInt64(value!, CultureInfo.InvariantCulture);

    private static OrderedDictionary Buffers(RunModel model)
    {
        var buffers = new OrderedDictionary();
        for (int p = 0; p < model.Network.ParameterNames.Count; p++)
        {
            if (model.Optimiser.Buffers[p] is { } buffer)
            {
                buffers[model.Network.ParameterNames[p]] = buffer;
            }
        }

        return buffers;
    }

    private static OrderedDictionary Named(Dictionary<string, Tensor> tensors) => Listed([.. tensors.Keys], [.. tensors.Values]);

    private static OrderedDictionary Listed(IReadOnlyList<string> names, IReadOnlyList<Tensor> tensors)
    {
        var listed = new OrderedDictionary();
        for (int i = 0; i < names.Count; i++)
        {
            listed[names[i]] = tensors[i];
        }

        return listed;
    }

    /// <summary>What a checkpoint holds.</summary>
    /// <param name="Settings">The run's configuration.</param>
    /// <param name="Epochs">Epochs done.</param>
    /// <param name="Phase">The phase of the last of them: 1 or 2.</param>
    /// <param name="Values">Everything, by key.</param>
    internal sealed record Content(Settings Settings, int Epochs, int Phase, Hashtable Values)
    {
        /// <summary>Copies the state into a model that was built from the same configuration.</summary>
        /// <exception cref="UsageException">A part is missing or does not fit.</exception>
        public void Restore(RunModel model, string path) => Guarded(path, () => Restore(model));

        /// <summary>Copies the backbone's state alone.</summary>
        /// <exception cref="UsageException">It is missing or does not fit.</exception>
        public void Restore(MultiExitNetwork network, string path) => Guarded(path, () => network.load_state_dict(Tensors(Values["state_dict"])));

        private static void Guarded(string path, Action restore)
        {
            try
            {
                restore();
            }
            catch (Exception e) when (e is InvalidOperationException or KeyNotFoundException or NullReferenceException or InvalidCastException or ArgumentException or ExternalException)
            {
                throw new UsageException($"{path} does not hold the state of this run's networks ({e.Message.ReplaceLineEndings(" ").TrimEnd('.')}); start the run anew, or restore the file", e);
            }
        }

        private void Restore(RunModel model)
        {
            model.Network.load_state_dict(Tensors(Values["state_dict"]));
            Dictionary<string, Tensor> buffers = Tensors(((Hashtable)Values["optimizer"]!)["momentum_buffer"]);
            model.Optimiser.Restore([.. model.Network.ParameterNames.Select(name => buffers.GetValueOrDefault(name))]);
            if (model.Weighting is { } weighting)
            {
                weighting.Network.load_state_dict(Tensors(Values["meta_state_dict"]));
                var state = (Hashtable)Values["meta_optimizer"]!;
                Dictionary<string, Tensor> means = Tensors(state["exp_avg"]), squares = Tensors(state["exp_avg_sq"]);
                weighting.Optimiser.Restore([.. weighting.Names.Select(name => means[name])], [.. weighting.Names.Select(name => squares[name])], Integer(state["step"]));
            }
        }

        private static Dictionary<string, Tensor> Tensors(object? named)
            => ((Hashtable)named!).Cast<DictionaryEntry>().ToDictionary(entry => (string)entry.Key, entry => (Tensor)entry.Value!);
    }
}
