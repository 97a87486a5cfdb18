using TorchSharp.Modules;

namespace TorchSharp;

public static partial class torch
{
    public static partial class nn
    {
        /// <summary>A tree of named parts with parameters and buffers; names of nested parts are joined by dots, as PyTorch has them.</summary>
        public class Module : IDisposable
        {
            private readonly List<(string Name, Parameter Parameter)> _parameters = [];
            private readonly List<(string Name, Tensor Buffer, bool Persistent)> _buffers = [];
            private readonly List<(string Name, Module Module)> _children = [];
            private readonly string _name;

            protected Module(string name) => _name = name;

            /// <summary>Whether it is in training mode.</summary>
            public virtual bool training { get; private set; } = true;

            public virtual string GetName() => _name;

            public virtual void register_parameter(string name, Parameter param)
            {
                CheckName(name);
                param.DetachFromDisposeScope();
                _parameters.Add((name, param));
            }

            public virtual void register_buffer(string name, Tensor tensor, bool persistent = true)
            {
                CheckName(name);
                tensor.DetachFromDisposeScope();
                _buffers.Add((name, tensor, persistent));
            }

            public virtual void register_module(string name, Module submodule)
            {
                if (name.Length == 0 || name.Contains('.', StringComparison.Ordinal))
                {
                    throw new ArgumentException($"a part of a module cannot be named '{name}': dots stand between the names of nested parts.", nameof(name));
                }

                CheckName(name);
                submodule.RegisterComponents();
                _children.Add((name, submodule));
            }

            /// <summary>
            /// What a module does before it becomes a part of another. The package's registers, by reflection, each field that holds a
            /// module, parameter or tensor under the field's name, unless that name is taken; a module that registers its parts itself,
            /// under other names than those of its fields, overrides this to do nothing.
            /// </summary>
            protected virtual void RegisterComponents()
            {
            }

            public virtual IEnumerable<(string name, Module module)> named_children() => _children;

            public virtual IEnumerable<(string name, Parameter parameter)> named_parameters(bool recurse = true)
                => recurse ? _parameters.Concat(Below(child => child.named_parameters())) : _parameters;

            public virtual IEnumerable<(string name, Tensor buffer)> named_buffers(bool recurse = true, bool include_nonpersistent = true)
            {
                var own = _buffers.Where(buffer => buffer.Persistent || include_nonpersistent).Select(buffer => (buffer.Name, buffer.Buffer));
                return recurse ? own.Concat(Below(child => child.named_buffers(true, include_nonpersistent))) : own;
            }

            public virtual IEnumerable<Parameter> parameters(bool recurse = true) => named_parameters(recurse).Select(entry => entry.parameter);

            public virtual IEnumerable<Tensor> buffers(bool recurse = true, bool include_nonpersistent = true)
                => named_buffers(recurse, include_nonpersistent).Select(entry => entry.buffer);

            /// <summary>Parameters and persistent buffers by name: the module's own tensors, not copies.</summary>
            public virtual Dictionary<string, Tensor> state_dict(Dictionary<string, Tensor>? destination = null, string? prefix = null)
            {
                destination ??= [];
                string start = string.IsNullOrEmpty(prefix) ? "" : prefix + ".";
                foreach ((string name, Parameter parameter) in named_parameters())
                {
                    destination.Add(start + name, parameter);
                }

                foreach ((string name, Tensor buffer) in named_buffers(true, include_nonpersistent: false))
                {
                    destination.Add(start + name, buffer);
                }

                return destination;
            }

            /// <summary>Copies values into the module's own tensors, by name.</summary>
            /// <exception cref="InvalidOperationException">Strict, and names are missing or left over; or a shape differs. Nothing is copied then.</exception>
            public virtual (IList<string> missing_keys, IList<string> unexpected_keyes) load_state_dict(Dictionary<string, Tensor> source, bool strict = true, IList<string>? skip = null)
            {
                Dictionary<string, Tensor> own = state_dict();
                string[] missing = [.. own.Keys.Where(name => !source.ContainsKey(name) && skip?.Contains(name) != true)];
                string[] unexpected = [.. source.Keys.Where(name => !own.ContainsKey(name) && skip?.Contains(name) != true)];
                if (strict && missing.Length + unexpected.Length > 0)
                {
                    throw new InvalidOperationException($"the state does not fit the module: missing [{string.Join(", ", missing.Take(5))}], unexpected [{string.Join(", ", unexpected.Take(5))}]");
                }

                var matched = own.Where(entry => source.ContainsKey(entry.Key) && skip?.Contains(entry.Key) != true).ToArray();
                foreach ((string name, Tensor target) in matched)
                {
                    if (!target.shape.SequenceEqual(source[name].shape))
                    {
                        throw new InvalidOperationException($"the state does not fit the module: {name} is [{string.Join(", ", source[name].shape)}], not [{string.Join(", ", target.shape)}]");
                    }
                }

                using (no_grad())
                {
                    foreach ((string name, Tensor target) in matched)
                    {
                        target.copy_(source[name]);
                    }
                }

                return (missing, unexpected);
            }

            public virtual void train(bool train = true)
            {
                training = train;
                foreach ((_, Module child) in _children)
                {
                    child.train(train);
                }
            }

            public virtual void eval() => train(false);

            public void Dispose()
            {
                Dispose(true);
                GC.SuppressFinalize(this);
            }

            protected virtual void Dispose(bool disposing)
            {
                if (!disposing)
                {
                    return;
                }

                foreach (Tensor tensor in _parameters.Select(entry => entry.Parameter).Concat(_buffers.Select(entry => entry.Buffer)))
                {
                    tensor.Dispose();
                }

                foreach ((_, Module child) in _children)
                {
                    child.Dispose();
                }
            }

            private IEnumerable<(string Name, T Part)> Below<T>(Func<Module, IEnumerable<(string Name, T Part)>> parts)
                => _children.SelectMany(child => parts(child.Module).Select(part => ($"{child.Name}.{part.Name}", part.Part)));

            private void CheckName(string name)
            {
                if (_parameters.Any(entry => entry.Name == name) || _buffers.Any(entry => entry.Name == name) || _children.Any(entry => entry.Name == name))
                {
                    throw new InvalidOperationException($"{_name} has a part named '{name}' already.");
                }
            }
        }
    }
}
