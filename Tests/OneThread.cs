using System.Runtime.CompilerServices;
using Imta.MetaWeight.Native;

namespace Imta.MetaWeight.Tests;

/// <summary>Test classes run beside each other, on tensors that a second thread would only slow down.</summary>
internal static class OneThread
{
    [ModuleInitializer]
    internal static void Set()
    {
        if (Runtime.IsAvailable)
        {
            set_num_threads(1);
        }
    }
}
