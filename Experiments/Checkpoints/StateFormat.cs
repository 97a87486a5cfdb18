using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Experiments.Checkpoints.TorchFiles;

namespace Imta.MetaWeight.Experiments.Checkpoints;

/// <summary>States as dictionaries of a PyTorch file; names and order are kept.</summary>
internal static class StateFormat
{
    /// <summary>The state as a dictionary; whole numbers are integers there.</summary>
    public static TorchDictionary Write(StateTree state)
    {
        var dictionary = new TorchDictionary(state.Tensors);
        foreach ((string name, double number) in state.Numbers)
        {
            dictionary[name] = double.IsInteger(number) ? (TorchValue)(long)number : number;
        }

        foreach ((string name, StateTree group) in state.Groups)
        {
            dictionary[name] = Write(group);
        }

        return dictionary;
    }

    /// <summary>
    /// The state that a dictionary holds. Values other than tensors, numbers and dictionaries are not state and are skipped.
    /// </summary>
    public static StateTree Read(TorchDictionary dictionary)
    {
        var state = new StateTree();
        foreach ((TorchKey key, TorchValue value) in dictionary.Entries)
        {
            string name = key.ToString();
            switch (value)
            {
                case TorchTensor(var tensor):
                    state.Tensors[name] = tensor;
                    break;
                case TorchInteger(var number):
                    state.Numbers[name] = number;
                    break;
                case TorchFloat(var number):
                    state.Numbers[name] = number;
                    break;
                case TorchDictionary group:
                    state.Groups[name] = Read(group);
                    break;
            }
        }

        return state;
    }
}
